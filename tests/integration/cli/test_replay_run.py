"""`handsent replay run`, `diff`, `abort`: read models made anew beside a projections at work, and compared with it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from handsent import topics
from handsent.kafka import EmbeddedKafka
from kernel.kafka import when_there
from projections import app_run

from schemas.topics import TOPICS
from tests.integration.cli.conftest import Handsent
from tests.integration.cli.test_replay import (
    BAD,
    PATIENCE_S,
    READ_MODELS,
    append,
    ends_of,
    in_database,
    lives,
    offsets_of,
    story,
    tampered,
    told,
    until,
)
from tests.integration.projections.world import Service


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A log of this file's own: everything in it is folded."""
    with EmbeddedKafka(tmp_path_factory.mktemp("run-kafka")) as broker:
        asyncio.run(topics.create(broker.bootstrap, TOPICS.values()))
        asyncio.run(when_there(broker.bootstrap, TOPICS))
        yield broker.bootstrap


@pytest.fixture(scope="module")
def database_url(postgres: str) -> str:
    name = f"test_{uuid4().hex}"
    in_database(postgres, f"CREATE DATABASE {name}")
    return f"{postgres.rpartition('/')[0]}/{name}"


@pytest.fixture(scope="module")
def service(database_url: str, kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = Service(tmp_path_factory.mktemp("projections"), database_url, kafka)
    try:
        service.start()
        told(kafka, database_url, events_of("spring", 60))
        yield service
    finally:
        service.stop()


@pytest.fixture(autouse=True)
def no_run(service: Service, database_url: str) -> Iterator[None]:
    """Each test begins and ends without a run."""
    yield
    in_database(database_url, "DROP SCHEMA IF EXISTS projections_run CASCADE")


@pytest.fixture(params=["bulk", "ordinary"])
def fold(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Few events are folded as projections does it, many in bulk: here it is said which."""
    monkeypatch.setattr(app_run, "BULK", 1 if request.param == "bulk" else 10**9)
    return str(request.param)


@pytest.fixture
def in_bulk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_run, "BULK", 1)


def events_of(campaign: str, count: int) -> list[Any]:
    return [event for life in lives(campaign, count) for event in story(life)]


def run(handsent: Handsent, *options: str, exit_code: int = 0) -> dict[str, Any]:
    said = handsent("replay", "run", "--json", *options, exit_code=exit_code).stdout
    return dict(json.loads(said)) if said else {}


@pytest.fixture
def diff(handsent: Handsent) -> Callable[..., dict[str, Any]]:
    def compared(exit_code: int = 0) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(handsent("replay", "diff", "--json", exit_code=exit_code).stdout)
        assert found["equal"] is (exit_code == 0)
        return found

    return compared


def differing(found: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    return {name: table["differences"] for name, table in found["tables"].items() if table["differing"]}


def test_the_run_equals_the_live_tables_however_it_was_folded(
    handsent: Handsent, diff: Callable[..., dict[str, Any]], fold: str, kafka: str, database_url: str
) -> None:
    assert run(handsent)["events"] == asyncio.run(ends_of(kafka))
    found = diff()
    assert set(found["tables"]) == READ_MODELS and found["ignored"] == []
    assert all(table["live_rows"] == table["run_rows"] > 0 for table in found["tables"].values())
    assert all(table["live_checksum"] == table["run_checksum"] for table in found["tables"].values())
    assert found["events"] == asyncio.run(ends_of(kafka))
    assert index_names(database_url, "projections_run") == index_names(database_url, "projections")
    said = handsent("replay", "diff").stdout
    assert "the run equals the live tables" in said and "recipients" in said


def index_names(url: str, schema: str) -> list[str]:
    return [
        r[0] for r in in_database(url, f"SELECT indexname FROM pg_indexes WHERE schemaname = '{schema}' ORDER BY 1")
    ]


def test_a_run_goes_on_where_it_was(
    handsent: Handsent, diff: Callable[..., dict[str, Any]], fold: str, kafka: str, database_url: str
) -> None:
    run(handsent)
    told(kafka, database_url, [life.delivered(2) for life in lives("spring", 60)] + events_of(f"later {fold}", 40))
    assert run(handsent)["events"] > 60
    diff()


def test_diff_brings_the_run_to_exactly_where_live_is(
    handsent: Handsent, diff: Callable[..., dict[str, Any]], kafka: str, database_url: str
) -> None:
    run(handsent)
    told(kafka, database_url, events_of("after the run", 30))
    assert diff()["events"] == offsets_of(database_url)


def test_diff_tells_of_one_moment_while_projections_goes_on(
    handsent: Handsent, diff: Callable[..., dict[str, Any]], kafka: str, database_url: str
) -> None:
    run(handsent)
    seen = []
    with ThreadPoolExecutor() as beside:
        telling = beside.submit(told, kafka, database_url, events_of("meanwhile", 3000))
        while not telling.done():
            seen.append(diff()["events"])
        telling.result()
    assert diff()["events"] > seen[0]


def test_rows_that_differ_are_named(handsent: Handsent, diff: Callable[..., dict[str, Any]], database_url: str) -> None:
    run(handsent)
    rid, other = (life.recipient_id for life in lives("spring", 2))
    campaign_id = lives("spring", 1)[0].campaign_id
    by = f"UPDATE projections.recipients SET processed_by = $1 WHERE recipient_id = '{rid}'"
    with tampered(database_url, by.replace("$1", "'mallory'"), by.replace("$1", "'sam'")):
        assert differing(diff(exit_code=1)) == {
            "recipients": [{"key": {"recipient_id": rid}, "live": True, "folded": True, "columns": ["processed_by"]}]
        }
        said = handsent("replay", "diff", exit_code=1).stdout
        assert f"recipient_id {rid}: processed_by" in said and "mallory" not in said
    taken = f"recipient_id = '{other}'"
    with tampered(database_url, f"UPDATE projections_run.recipients SET recipient_id = gen_random_uuid() WHERE {taken}",
                  "DROP SCHEMA projections_run CASCADE"):  # fmt: skip
        sides = {(d["live"], d["folded"]) for d in differing(diff(exit_code=1))["recipients"]}
        assert sides == {(True, False), (False, True)}
    run(handsent)
    renamed = "UPDATE projections.list_columns SET name = '{}' WHERE name = '{}'"
    with tampered(database_url, renamed.format("Town", "City"), renamed.format("City", "Town")):
        keys = [d["key"] for d in differing(diff(exit_code=1))["list_columns"]]
    assert {"campaign_id": campaign_id, "name": "City"} in keys
    diff()


def test_what_only_one_of_them_has_is_passed_over_and_said(
    handsent: Handsent, diff: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    (tmp_path / "0999_more.sql").write_text(
        "ALTER TABLE recipients ADD COLUMN was_sent boolean GENERATED ALWAYS AS (sent_at IS NOT NULL) STORED;"
        "CREATE TABLE more (id int PRIMARY KEY); COMMENT ON TABLE more IS 'no wall: a test''s';"
    )
    run(handsent, "--migrations", str(tmp_path))
    assert diff()["ignored"] == ["table more: only in the run", "column recipients.was_sent: only in the run"]
    assert "not compared: column recipients.was_sent" in handsent("replay", "diff").stdout


def test_a_run_that_was_killed_goes_on(
    handsent: Handsent, diff: Callable[..., dict[str, Any]], settings: dict[str, str], kafka: str, database_url: str
) -> None:
    """Killed in the bulk, at any point of it; what was committed stays, and nothing is folded twice."""
    told(kafka, database_url, events_of("large", 6000))
    code = ("from projections import app_run, app_bulk; import sys; from handsent.__main__ import main\n"
            "app_run.BULK = 1; sys.argv[0] = 'handsent'; main(['replay', 'run', '--workers', '2'])")  # fmt: skip
    environment = {**os.environ, **settings}
    moved = "SELECT coalesce(sum(next_offset), 0) FROM projections_run.offsets"
    for attempt in range(3):
        with subprocess.Popen([sys.executable, "-c", code], env=environment) as running:
            until(lambda: "projections_run.offsets" and table_there(database_url))
            if attempt:
                until(lambda: in_database(database_url, moved)[0][0] > 0 or running.poll() is not None)
            running.send_signal(signal.SIGKILL)
            running.wait(PATIENCE_S)
    until(lambda: not in_database(database_url, WORKERS))
    run(handsent)
    diff()
    assert index_names(database_url, "projections_run") == index_names(database_url, "projections")


WORKERS = (
    "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'COPY%' AND state = 'active'"
)


def table_there(url: str) -> bool:
    return bool(in_database(url, "SELECT to_regclass('projections_run.offsets')")[0][0])


@pytest.fixture
def unfoldable(handsent: Handsent, service: Service, kafka: str, database_url: str) -> Iterator[str]:
    """An event that projections went past and that a run cannot fold: its place."""
    asyncio.run(append(kafka, [("receipts", str(uuid4()).encode(), BAD)]))
    standing = "SELECT topic, partition, event_offset FROM projections.stopped"
    until(lambda: in_database(database_url, standing))
    [(topic, partition, offset)] = in_database(database_url, standing)
    handsent("quarantine", "set-aside", "projections", topic, str(partition), "--reason", "a test wrote it")
    told(kafka, database_url, [])
    decided = f"UPDATE projections.set_aside SET partition = {{}} WHERE (partition, event_offset) = ({{}}, {offset})"
    with tampered(database_url, decided.format(partition + 4, partition), decided.format(partition, partition + 4)):
        yield f"{topic}-{partition}@{offset}"


def only_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    """`run` has caught up, and what comes then is what is tested."""

    async def caught_up(*_: object) -> app_run.Done:
        return app_run.Done(1, 1.0, {})

    monkeypatch.setattr(app_run, "run", caught_up)


def test_a_follower_that_stands_still_says_where_and_fails(
    handsent: Handsent, unfoldable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(handsent, exit_code=1)
    only_follows(monkeypatch)
    said = handsent("replay", "run", "--follow", exit_code=1).stderr
    assert "it is not followed any more: it stands still" in said and f"it stands still at {unfoldable}" in said
    [row] = [json.loads(line) for line in handsent("replay", "history", "--json", "--limit", "1").stdout.splitlines()]
    assert row["outcome"] == f"stands still at {unfoldable}"


def test_a_follower_that_is_not_let_in_fails(
    handsent: Handsent, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import asyncpg

    run(handsent)
    only_follows(monkeypatch)
    monkeypatch.setattr(app_run, "FOLLOW_PATIENCE_S", 1.0)

    async def while_another_works() -> None:
        connection = await asyncpg.connect(database_url)
        await connection.execute("SELECT pg_advisory_lock(hashtextextended('handsent.replay', 0))")
        said = await asyncio.to_thread(handsent, "replay", "run", "--follow", exit_code=1)
        assert "another replay is at work" in said.stderr and "not followed any more" not in said.stderr
        await connection.close()

    asyncio.run(while_another_works())


def test_two_runs_do_not_work_at_once(handsent: Handsent, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncpg

    monkeypatch.setattr(app_run, "WAIT_S", 1.0)

    async def while_another_works() -> None:
        connection = await asyncpg.connect(database_url)
        await connection.execute("SELECT pg_advisory_lock(hashtextextended('handsent.replay', 0))")
        said = await asyncio.to_thread(handsent, "replay", "run", exit_code=1)
        assert "another replay is at work" in said.stderr
        await connection.close()

    asyncio.run(while_another_works())


def test_a_follower_stays_near_and_lets_others_in(
    handsent: Handsent, diff: Callable[..., dict[str, Any]], settings: dict[str, str], kafka: str, database_url: str
) -> None:
    command = [sys.executable, "-m", "handsent", "replay", "run", "--follow"]
    with subprocess.Popen(command, env={**os.environ, **settings}, stderr=subprocess.PIPE, text=True) as following:
        until(lambda: table_there(database_url) and sums(database_url)[0] == sums(database_url)[1])
        told(kafka, database_url, events_of("followed", 20))
        until(lambda: sums(database_url)[0] == sums(database_url)[1])
        diff()
        handsent("replay", "abort")
        assert following.stderr is not None
        assert following.wait(PATIENCE_S) == 0
        assert "it is not followed any more" in following.stderr.read()


def sums(url: str) -> list[int]:
    return [int(in_database(url, f"SELECT coalesce(sum(next_offset), 0) FROM {s}.offsets")[0][0])
            for s in ("projections", "projections_run")]  # fmt: skip


def test_an_event_that_was_set_aside_is_passed_over(
    handsent: Handsent, diff: Callable[..., dict[str, Any]], fold: str, kafka: str, database_url: str
) -> None:
    asyncio.run(append(kafka, [("receipts", str(uuid4()).encode(), BAD)]))
    standing = "SELECT topic, partition, event_offset FROM projections.stopped"
    until(lambda: in_database(database_url, standing))
    [(topic, partition, offset)] = in_database(database_url, standing)
    run(handsent)
    diff()
    handsent("quarantine", "set-aside", "projections", topic, str(partition), "--reason", "a test wrote it")
    told(kafka, database_url, [life.delivered(3) for life in lives("spring", 60)])
    diff()
    handsent("replay", "abort")
    run(handsent)
    diff()
    in_database(
        database_url, f"UPDATE projections.set_aside SET partition = partition + 4 WHERE event_offset = {offset}"
    )
    handsent("replay", "abort")
    try:
        said = handsent("replay", "run", exit_code=1)
        assert f"stands still at {topic}-{partition}@{offset}" in said.stderr
        [refused] = diff(exit_code=1)["refused"]
        assert refused == {"topic": topic, "partition": partition, "offset": offset}
    finally:
        in_database(
            database_url, f"UPDATE projections.set_aside SET partition = partition - 4 WHERE event_offset = {offset}"
        )


def test_a_plan_says_what_a_run_would_read_and_moves_nothing(
    handsent: Handsent, kafka: str, database_url: str, in_bulk: None
) -> None:
    plan = json.loads(handsent("replay", "plan", "--json").stdout)
    assert plan["events"] == offsets_of(database_url) == sum(part["to"] for part in plan["partitions"])
    assert all(part["from"] == 0 and part["to"] == part["events"] for part in plan["partitions"])
    assert (plan["goes_on"], plan["workers"]) == (False, os.cpu_count())
    assert plan["room_bytes"] == sum(table["bytes"] for table in plan["tables"]) > 0
    assert plan["estimated_seconds"] > 0 and 0 < plan["sampled_events"] <= plan["events"]
    assert {table["table"] for table in plan["tables"]} >= READ_MODELS
    assert in_database(database_url, "SELECT 1 FROM pg_namespace WHERE nspname = 'projections_run'") == []
    run(handsent)
    told(kafka, database_url, events_of("since the plan", 10))
    plan = json.loads(handsent("replay", "plan", "--json").stdout)
    assert plan["goes_on"] and plan["events"] == offsets_of(database_url) - sums(database_url)[1]
    said = handsent("replay", "plan").stdout
    assert "there is a run, which goes on" in said and "time: about" in said and "recipients-0" in said


def test_what_was_done_is_written_down(handsent: Handsent, database_url: str) -> None:
    run(handsent)
    handsent("replay", "diff")
    handsent("replay", "abort")
    handsent("replay", "abort", exit_code=1)
    rows = [json.loads(line) for line in handsent("replay", "history", "--json", "--limit", "4").stdout.splitlines()]
    assert [row["command"] for row in rows] == ["abort", "abort", "diff", "run"]
    assert rows[0]["outcome"] == "refused: there is nothing to drop"
    assert rows[2]["outcome"].startswith("equal at ") and rows[3]["outcome"].startswith("caught up, ")
    assert all(row["done_by"] and row["begun_at"] and row["ended_at"] for row in rows)
    comments = in_database(
        database_url, "SELECT obj_description(oid, 'pg_class') FROM pg_class "
        "WHERE relnamespace = 'replay'::regnamespace AND relkind = 'r'"
    )  # fmt: skip
    assert len(comments) == 2 and all(comment[0].startswith("no wall: ") for comment in comments)
