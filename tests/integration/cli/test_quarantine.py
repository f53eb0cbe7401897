"""`handsent quarantine`: an operator looks, retries, sets aside."""

import asyncio
import getpass
import json

import asyncpg
import pytest
from kernel import database, quarantine
from kernel.kafka import producer

from tests.integration.cli.conftest import Handsent

BAD = b"\x00\x00\x00\x00\x63 these bytes are no event"
TOPIC = "dispatches"


@pytest.fixture
def offset(database_url: str, kafka: str) -> int:
    """The offset at which projections stand still."""
    return asyncio.run(_stop(database_url, kafka))


async def _stop(database_url: str, bootstrap: str) -> int:
    out = producer(bootstrap, "tests")
    await out.start()
    headers = [("event-type", b"Rubbish")]
    place = await out.send_and_wait(TOPIC, BAD, key=b"a key", partition=2, headers=headers)
    await out.stop()
    await database.migrate(database_url, "projections", "projections")
    connection = await database.connect(database_url, "projections")
    await connection.execute("INSERT INTO offsets VALUES ($1, 2, $2)", TOPIC, place.offset)
    await quarantine.record(connection, (TOPIC, 2), place.offset, "no event begins so")  # type: ignore[arg-type]
    await connection.close()
    return int(place.offset)


def test_nothing_stands_still_where_no_service_ever_ran(handsent: Handsent) -> None:
    assert handsent("quarantine", "list").stdout == ""


def test_a_stopped_partition_is_listed_with_its_service(handsent: Handsent, offset: int) -> None:
    [line] = handsent("quarantine", "list", "--json", exit_code=1).stdout.splitlines()
    found = json.loads(line)
    assert (found["service"], found["topic"], found["partition"]) == ("projections", TOPIC, 2)
    assert (found["event_offset"], found["error"], found["state"]) == (offset, "no event begins so", "stopped")
    assert f"{TOPIC}-2@{offset}" in handsent("quarantine", "list", exit_code=1).stdout


def test_show_prints_the_record_as_it_lies_in_kafka(handsent: Handsent, offset: int) -> None:
    said = handsent("quarantine", "show", "projections", TOPIC, "2").stdout
    for expected in (f"{TOPIC}-2@{offset}", "no event begins so", "a key", "event-type: Rubbish", BAD[:16].hex(" ")):
        assert expected in said


def test_retry_lets_it_go_once(handsent: Handsent, offset: int) -> None:
    handsent("quarantine", "retry", "projections", TOPIC, "2")
    handsent("quarantine", "list")
    said = handsent("quarantine", "retry", "projections", TOPIC, "2", exit_code=1).stderr
    assert "does not stand still" in said


def test_setting_aside_is_recorded_with_reason_and_name(handsent: Handsent, offset: int, database_url: str) -> None:
    command = ("quarantine", "set-aside", "projections", TOPIC, "2")
    handsent(*command, exit_code=2)
    handsent(*command, "--reason", "  ", exit_code=2)
    handsent(*command, "--reason", "a test wrote it")
    rows = asyncio.run(_fetch(database_url, "SELECT event_offset, reason, decided_by FROM projections.set_aside"))
    assert [tuple(row) for row in rows] == [(offset, "a test wrote it", getpass.getuser())]
    handsent(*command, "--reason", "once more", exit_code=1)
    assert "a test wrote it" in handsent("quarantine", "list").stdout


def test_what_does_not_stand_still_cannot_be_decided(handsent: Handsent) -> None:
    handsent("quarantine", "show", "scheduler", "processed", "0", exit_code=1)
    handsent("quarantine", "retry", "scheduler", "no-such-topic", "0", exit_code=2)


async def _fetch(database_url: str, query: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(database_url)
    try:
        return list(await connection.fetch(query))
    finally:
        await connection.close()
