"""Log lines: each fact once, as JSON. Read as a supervisor reads them, from a process's stdout."""

import json
import subprocess
import sys
from typing import Any

BEGIN = """
import logging, structlog
from kernel import log
log.configure("a service", "info")
"""


def lines(code: str) -> list[dict[str, Any]]:
    """What a process says that runs this code after it has set up its log."""
    done = subprocess.run([sys.executable, "-c", BEGIN + code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_fact_of_ours_is_one_line_with_its_keys() -> None:
    [line] = lines('structlog.get_logger().info("message_dropped", campaign="c")')
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "message_dropped", "campaign": "c", "service": "a service", "level": "info"}


def test_a_librarys_word_is_one_line_too_and_being_configured_twice_doubles_nothing() -> None:
    found = lines(
        'log.configure("a service")\n'
        'structlog.get_logger().warning("one_fact")\n'
        'logging.getLogger("aiokafka.conn").error("connection lost")'
    )
    assert [line["event"] for line in found] == ["one_fact", "connection lost"]
    assert (found[1]["logger"], found[1]["service"]) == ("aiokafka.conn", "a service")


def test_a_librarys_flood_is_a_line_a_second_and_another_word_passes() -> None:
    found = lines(
        'for n in range(300): logging.getLogger("aiokafka").error("unable to connect %s", n)\n'
        'logging.getLogger("aiokafka").error("something else")'
    )
    assert [line["event"] for line in found] == ["unable to connect 0", "something else"]


def test_an_exception_is_part_of_its_line() -> None:
    [line] = lines('structlog.get_logger().error("service_crashed", exc_info=ZeroDivisionError("of the test"))')
    assert "ZeroDivisionError: of the test" in line["exception"]


def test_what_is_below_the_level_is_not_said() -> None:
    assert lines('structlog.get_logger().debug("detail"); logging.getLogger("library").info("detail")') == []
