"""`handsent replay verify`, beside a projections at work."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import pytest
from handsent import topics
from handsent.kafka import EmbeddedKafka
from kernel.kafka import Watcher, producer, when_there

from schemas.codec import encode, key_of
from schemas.topics import TOPIC_OF, TOPICS
from tests.integration.cli.conftest import Handsent
from tests.integration.projections.world import Service
from tests.unit.projections.life import Life

READ_MODELS = {
    "recipients", "campaigns", "list_columns", "failed_by_reason", "opt_outs", "erasures", "minutes", "senders",
}  # fmt: skip
PATIENCE_S = 30.0
VERIFY = ("replay", "verify", "--service", "projections")
BAD = b"\x00\x00\x00\x00\x63 these bytes are no event"


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A log of this file's own: everything in it is folded."""
    with EmbeddedKafka(tmp_path_factory.mktemp("replay-kafka")) as broker:
        asyncio.run(topics.create(broker.bootstrap, TOPICS.values()))
        asyncio.run(when_there(broker.bootstrap, TOPICS))
        yield broker.bootstrap


@pytest.fixture(scope="module")
def database_url(postgres: str) -> str:
    name = f"test_{uuid4().hex}"
    in_database(postgres, f"CREATE DATABASE {name}")
    return urlunsplit(urlsplit(postgres)._replace(path=f"/{name}"))


@pytest.fixture(scope="module")
def service(database_url: str, kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Projections at work, which has folded what there is to fold."""
    service = Service(tmp_path_factory.mktemp("projections"), database_url, kafka)
    try:
        service.start()
        told(kafka, database_url, [event for life in lives("spring", 50) for event in story(life)])
        yield service
    finally:
        service.stop()


@pytest.fixture
def verify(service: Service, handsent: Handsent) -> Callable[..., dict[str, Any]]:
    def run(exit_code: int = 0) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(handsent(*VERIFY, "--json", exit_code=exit_code).stdout)
        assert found["equal"] is (exit_code == 0)
        return found

    return run


def lives(campaign: str, count: int) -> list[Life]:
    return [Life(campaign=campaign, number=f"+1202555{n:04d}", position=n, sealed=True) for n in range(count)]


def story(life: Life) -> list[Any]:
    """Some are texted and fail, or are delivered after they had failed; some opt out; some are erased."""
    common = [life.created(), life.added(), life.processed(), life.released(), life.attempted(), life.accepted()]
    ends = [[life.not_delivered()], [life.not_delivered(), life.delivered()], [life.delivered(), life.opted_out()],
            [life.delivered(), life.opted_out(), life.erased()], [life.unconfirmed(), life.ended()]]  # fmt: skip
    return common + ends[life.position % len(ends)]


def told(kafka: str, database_url: str, events: Iterable[Any]) -> None:
    """Returns once projections has folded them."""
    asyncio.run(append(kafka, [(TOPIC_OF[type(e)].name, key_of(e), encode(e)) for e in events]))
    ends = asyncio.run(ends_of(kafka))
    until(lambda: offsets_of(database_url) == ends)


async def append(kafka: str, records: Iterable[tuple[str, bytes | None, bytes]]) -> None:
    async with producer(kafka, "tests") as out:
        for topic, key, value in records:
            await out.send(topic, value, key=key)


async def ends_of(kafka: str) -> int:
    watcher = Watcher(kafka)
    positions = [(t, p) for t in TOPICS if t not in ("clock", "access") for p in range(TOPICS[t].partitions_local)]
    try:
        return sum((await watcher.ends(positions)).values())
    finally:
        await watcher.stop()


def offsets_of(database_url: str) -> int:
    return int(in_database(database_url, "SELECT sum(next_offset) FROM projections.offsets")[0][0])


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


def in_database(url: str, statement: str) -> list[asyncpg.Record]:
    async def asked() -> list[asyncpg.Record]:
        connection = await asyncpg.connect(url)
        try:
            return list(await connection.fetch(statement))
        finally:
            await connection.close()

    return asyncio.run(asked())


@contextmanager
def tampered(url: str, statement: str, undo: str) -> Iterator[None]:
    in_database(url, statement)
    try:
        yield
    finally:
        in_database(url, undo)


@pytest.fixture
def silent_kafka() -> Iterator[str]:
    """A broker that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def test_every_read_model_equals_what_the_log_gives(
    verify: Callable[..., dict[str, Any]], handsent: Handsent, kafka: str
) -> None:
    found = verify()
    assert set(found["tables"]) == READ_MODELS
    assert all(table["rows"] > 0 and not table["differences"] for table in found["tables"].values())
    assert found["tables"]["recipients"]["rows"] == 50
    assert found["events"] == asyncio.run(ends_of(kafka))
    said = handsent(*VERIFY).stdout
    assert "the tables are what the log says" in said and "erasures" in said


def test_a_row_that_somebody_changed_is_named(
    verify: Callable[..., dict[str, Any]], handsent: Handsent, database_url: str
) -> None:
    rid = lives("spring", 1)[0].recipient_id
    of = f"projections.recipients SET processed_by = %s WHERE recipient_id = '{rid}'"
    with tampered(database_url, "UPDATE " + of % "'mallory'", "UPDATE " + of % "'sam'"):
        found = verify(exit_code=1)
        said = handsent(*VERIFY, exit_code=1).stdout
    differing = {name: table["differences"] for name, table in found["tables"].items() if table["differing"]}
    difference = {"key": {"recipient_id": rid}, "live": True, "folded": True, "columns": ["processed_by"]}
    assert differing == {"recipients": [difference]}
    assert f"recipient_id {rid}: processed_by" in said and "1 DIFFER" in said and "mallory" not in said
    verify()


def test_rows_that_somebody_took_away_or_made_up_are_named(
    verify: Callable[..., dict[str, Any]], database_url: str
) -> None:
    campaign_id = lives("spring", 1)[0].campaign_id
    renamed = "UPDATE projections.list_columns SET name = '{}' WHERE name = '{}'"
    with tampered(database_url, renamed.format("Town", "City"), renamed.format("City", "Town")):
        found = verify(exit_code=1)["tables"]["list_columns"]
    assert found["differing"] == 2
    assert [(d["key"], d["live"], d["folded"]) for d in found["differences"]] == [
        ({"campaign_id": campaign_id, "name": "City"}, False, True),
        ({"campaign_id": campaign_id, "name": "Town"}, True, False),
    ]


def test_a_figure_that_somebody_changed_is_no_recount_either(
    verify: Callable[..., dict[str, Any]], database_url: str
) -> None:
    campaign_id = lives("spring", 1)[0].campaign_id
    by = "UPDATE projections.campaigns SET delivered = delivered {} 1"
    with tampered(database_url, by.format("+"), by.format("-")):
        found = verify(exit_code=1)
    assert found["drifted"] == [campaign_id]
    assert [d["columns"] for d in found["tables"]["campaigns"]["differences"]] == [["delivered"]]


def test_what_was_verified_is_written_down(
    verify: Callable[..., dict[str, Any]], handsent: Handsent, database_url: str
) -> None:
    verify()
    by = "UPDATE projections.recipients SET position = position {} 1000"
    with tampered(database_url, by.format("+"), by.format("-")):
        verify(exit_code=1)
    rows = [json.loads(line) for line in handsent("replay", "history", "--json", "--limit", "2").stdout.splitlines()]
    assert [(row["command"], row["arguments"]["services"], row["outcome"]) for row in rows] == [
        ("verify", ["projections"], "differs: projections"),
        ("verify", ["projections"], "equal"),
    ]
    assert all(row["done_by"] and row["ended_at"] for row in rows)


def test_of_many_differences_the_first_are_shown_and_all_are_counted(
    verify: Callable[..., dict[str, Any]], handsent: Handsent, database_url: str
) -> None:
    by = "UPDATE projections.recipients SET position = position {} 1000"
    with tampered(database_url, by.format("+"), by.format("-")):
        found = verify(exit_code=1)["tables"]["recipients"]
        assert "and 30 more" in handsent(*VERIFY, exit_code=1).stdout
    assert (found["differing"], len(found["differences"])) == (50, 20)


def test_an_event_that_was_set_aside_is_passed_over(
    verify: Callable[..., dict[str, Any]], handsent: Handsent, service: Service, kafka: str, database_url: str
) -> None:
    asyncio.run(append(kafka, [("receipts", b"somebody", BAD)]))
    standing = "SELECT topic, partition FROM projections.stopped"
    until(lambda: in_database(database_url, standing))
    verify()
    [(topic, partition)] = in_database(database_url, standing)
    handsent("quarantine", "set-aside", "projections", topic, str(partition), "--reason", "a test wrote it")
    told(kafka, database_url, [life.delivered(2) for life in lives("spring", 50)])
    assert verify()["passed_over"] == 1
    with tampered(database_url, "UPDATE projections.set_aside SET partition = partition + 4",
                  "UPDATE projections.set_aside SET partition = partition - 4"):  # fmt: skip
        [refused] = verify(exit_code=1)["refused"]
    assert (refused["topic"], refused["partition"]) == (topic, partition)


def test_it_tells_of_one_moment_while_projections_goes_on(
    verify: Callable[..., dict[str, Any]], kafka: str, database_url: str
) -> None:
    seen: list[int] = []  # how many events each run found while they came
    told_so_far = 50
    for attempt in range(5):  # on a busy machine all of them can come within one run
        events = [event for life in lives(f"summer {attempt}", 3000) for event in story(life)]
        before = verify()["events"]
        with ThreadPoolExecutor() as beside:
            telling = beside.submit(told, kafka, database_url, events)
            while not telling.done():
                seen.append(verify()["events"])
            telling.result()
        told_so_far += 3000
        after = verify()["events"]
        if any(before <= count < after for count in seen):
            break
    else:
        pytest.fail("nothing went on meanwhile")
    assert verify()["tables"]["recipients"]["rows"] == told_so_far


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_broken_off_leaves_nothing(
    service: Service, settings: dict[str, str], database_url: str, silent_kafka: str, number: signal.Signals
) -> None:
    taken = "SELECT relname FROM pg_class WHERE relname LIKE 'live%' OR relpersistence = 't'"
    environment = {**os.environ, **settings, "KAFKA_BOOTSTRAP": silent_kafka}
    with subprocess.Popen([sys.executable, "-m", "handsent", *VERIFY], env=environment) as running:
        until(lambda: in_database(database_url, taken))
        running.send_signal(number)
        assert running.wait(PATIENCE_S) != 0
    until(lambda: not in_database(database_url, taken))


def test_where_projections_never_ran_or_other_topics_are_it_is_one_clear_line(
    handsent: Handsent, service: Service, postgres: str, database_url: str
) -> None:
    said = handsent(*VERIFY, exit_code=1, DATABASE_URL=postgres)
    assert said.stdout == "" and said.stderr == "Error: projections has never run on this database\n"
    other = "UPDATE projections.topic_ids SET topic_id = {} WHERE topic = 'receipts'"
    [(bound,)] = in_database(database_url, "SELECT topic_id FROM projections.topic_ids WHERE topic = 'receipts'")
    with tampered(database_url, other.format("gen_random_uuid()"), other.format(f"'{bound}'")):
        assert "receipts was made anew" in handsent(*VERIFY, exit_code=1).stderr
    handsent(*VERIFY, "--pii", exit_code=2)
