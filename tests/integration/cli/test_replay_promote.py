"""`handsent replay promote`: the run takes the place of the live tables, and gives it back, while people read."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from aiokafka import AIOKafkaProducer
from handsent import topics
from handsent.kafka import EmbeddedKafka
from kernel import database
from kernel.database import acting_for
from kernel.kafka import when_there
from projections import app_run

from schemas.topics import TOPICS
from tests.integration.cli.conftest import Handsent
from tests.integration.cli.test_replay import PATIENCE_S, in_database
from tests.integration.projections.world import Service, World, eventually
from tests.integration.walls import tables

Replay = Callable[..., Awaitable[Any]]
SCHEMAS = "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'projections%' ORDER BY 1"
# The schema's name in the functions of each schema.
SEARCHED = """
SELECT n.nspname || ' ' || split_part(s, '=', 2)
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace CROSS JOIN unnest(p.proconfig) s
 WHERE n.nspname LIKE 'projections%' AND s LIKE 'search_path=%' ORDER BY 1
"""
# A read model with a column more, filled by a function that names the schema it looks into, and told by the view.
CHANGE = """
CREATE TABLE steps (recipient_id uuid PRIMARY KEY, n int NOT NULL);
COMMENT ON TABLE steps IS 'no wall: a test''s';
ALTER TABLE recipients ADD COLUMN was_sent boolean NOT NULL DEFAULT false;
CREATE FUNCTION say_sent() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO steps VALUES (NEW.recipient_id, 1) ON CONFLICT (recipient_id) DO UPDATE SET n = steps.n + 1;
    NEW.was_sent := NEW.sent_at IS NOT NULL;
    RETURN NEW;
END $$;
CREATE TRIGGER say_sent BEFORE INSERT OR UPDATE ON recipients FOR EACH ROW EXECUTE FUNCTION say_sent();
DO $$ DECLARE said text := pg_get_viewdef('described'::regclass); BEGIN
    EXECUTE 'CREATE OR REPLACE VIEW described WITH (security_invoker = true) AS SELECT v.*, r.was_sent FROM ('
        || rtrim(said, ';') || ') v JOIN recipients r USING (recipient_id)';
END $$;
"""


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with EmbeddedKafka(tmp_path_factory.mktemp("promote-kafka")) as broker:
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
        yield service.start()
    finally:
        service.stop()


@pytest.fixture
async def world(service: Service, kafka: str) -> AsyncIterator[World]:
    async with aiohttp.ClientSession() as http, AIOKafkaProducer(bootstrap_servers=kafka) as producer:
        yield World(service, producer, http)


@pytest.fixture(autouse=True)
def neither_run_nor_old(service: Service, database_url: str) -> Iterator[None]:
    yield
    in_database(database_url, "DROP SCHEMA IF EXISTS projections_run CASCADE")
    in_database(database_url, "DROP SCHEMA IF EXISTS projections_old CASCADE")


@pytest.fixture
def replay(handsent: Handsent) -> Replay:
    """A replay command, while the test goes on."""

    async def called(*arguments: str, exit_code: int = 0) -> Any:
        return await asyncio.to_thread(handsent, "replay", *arguments, exit_code=exit_code)

    return called


def lived(world: World, numbers: range) -> list[Any]:
    lives = [world.life(n) for n in numbers]
    return [e for life in lives for e in (life.added(), life.processed(), life.released(), life.attempted(),
                                          life.accepted(), life.delivered())]  # fmt: skip


class Readers:
    """People who ask all the time, and who remember what they were told."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.refused: list[tuple[str, int]] = []
        self.answers = 0
        self.as_of, self.went_back = 0, False

    async def progress(self) -> None:
        while True:
            answer = await self._world.progress()  # which checks that it adds up
            now = sum(sum(partitions.values()) for partitions in answer["as_of"].values())
            self.went_back |= now < self.as_of
            self.as_of = now
            self.answers += 1

    async def others(self) -> None:
        rid = self._world.life(0).recipient_id
        paths = ("/recipients?limit=20", f"/recipients/{rid}", f"/recipients/{rid}/timeline", "/report.csv")
        while True:
            for path in paths:
                async with self._world.http.get(self._world.path(path), headers=self._world.headers()) as answer:
                    await answer.read()
                    self.answers += 1
                    if answer.status != 200:
                        self.refused.append((path, answer.status))

    async def listening(self) -> None:
        async with self._world.listening() as listener:
            while True:
                await listener.next(within_s=60)


class Writers:
    """The log goes on."""

    def __init__(self, world: World) -> None:
        self._world, self.people = world, 0

    async def write(self) -> None:
        while True:
            await self._world.publish(lived(self._world, range(self.people, self.people + 20)))
            self.people += 20
            await asyncio.sleep(0.05)


@asynccontextmanager
async def at_work(world: World) -> AsyncIterator[tuple[Readers, Writers]]:
    await world.publish([world.life(0).created(), *lived(world, range(20))])
    await world.progress_is(delivered=20)
    readers, writers = Readers(world), Writers(world)
    works = [readers.progress(), readers.others(), readers.listening(), writers.write()]
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield readers, writers
        assert [task.exception() for task in tasks if task.done()] == [], world.service.log()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def test_a_read_model_gets_a_column_more_while_people_read_and_send_and_loses_it_again(
    world: World, replay: Replay, database_url: str, tmp_path: Path
) -> None:
    (tmp_path / "0999_was_sent.sql").write_text(CHANGE)
    async with at_work(world) as (readers, writers):
        await replay("run", "--migrations", str(tmp_path))
        found = json.loads((await replay("diff", "--json")).stdout)
        assert "column recipients.was_sent: only in the run" in found["ignored"]
        await replay("promote")
        assert await asks(database_url, SCHEMAS) == ["projections", "projections_old"]
        assert not readers.went_back, "figures never go back"
        people = writers.people
        await eventually(lambda: more(writers, people + 100), lambda: "people go on")
        assert await asks(database_url, "SELECT DISTINCT was_sent FROM projections.recipients") in (
            [True],
            [False, True],
        )
        assert await asks(database_url, SEARCHED) == ["projections projections"]
        answers = readers.answers
        await replay("promote", "--back")
        assert await asks(database_url, SCHEMAS) == ["projections", "projections_run"]
        await eventually(lambda: more(writers, people + 200), lambda: "people go on")
        assert readers.answers > answers
        await replay("promote")  # and once more: the run is as it was, and is brought up to now
    assert readers.refused == []
    await world.progress_is(delivered=writers.people, recipients=writers.people)
    await world.caught_up()
    await replay("abort", "--old")
    assert await asks(database_url, "SELECT count(*) FROM projections.recipients WHERE NOT was_sent") == [0]
    await replay("run")
    json.loads((await replay("diff", "--json")).stdout)
    (tmp_path / "0999_was_sent.sql").unlink()


async def asks(url: str, statement: str) -> list[Any]:
    return [row[0] for row in await asyncio.to_thread(in_database, url, statement)]


async def more(writers: Writers, than: int) -> bool:
    return writers.people > than


async def test_going_back_while_nobody_sends_folds_what_the_old_tables_lack(world: World, replay: Replay) -> None:
    await world.publish([world.life(0).created(), *lived(world, range(3))])
    await world.progress_is(delivered=3)
    for command in ("run", "diff", "promote"):
        await replay(command)
    await world.publish(lived(world, range(3, 9)))
    await world.progress_is(delivered=9)
    assert "projections has caught up" in (await replay("promote", "--back")).stderr
    await world.progress_is(delivered=9)


async def test_nothing_is_folded_twice_or_left_out_by_many_exchanges(
    world: World, replay: Replay, database_url: str
) -> None:
    async with at_work(world) as (readers, writers):
        for _ in range(4):
            await replay("run")
            await replay("diff")
            await replay("promote")
    assert readers.refused == [] and not readers.went_back
    await world.progress_is(delivered=writers.people, recipients=writers.people)
    await world.caught_up()
    assert json.loads((await replay("verify", "--service", "projections", "--json")).stdout)["equal"]


async def test_walls_stand_in_what_was_promoted(world: World, replay: Replay, database_url: str) -> None:
    await world.publish([world.life(0).created(), *lived(world, range(3))])
    await world.progress_is(delivered=3)
    for command in ("run", "diff", "promote"):
        await replay(command)
    pool = await database.open_pool(database_url, "projections", max_size=1)
    found = [table for table in await tables(pool) if not table.is_view]
    assert [t.name for t in found if not (t.walled and t.policies) and not t.comment.startswith("no wall: ")] == []
    for account_id, rows in ((world.account_id, 3), (str(uuid4()), 0)):
        async with acting_for(pool, account_id) as connection:
            assert await connection.fetchval("SELECT count(*) FROM recipients WHERE campaign_id = $1",
                                             world.campaign_id) == rows  # fmt: skip
    await pool.close()
    assert (await world.get("/progress", account_id=str(uuid4())))[0] == 404
    world.service.stop()
    world.service.start()  # and it starts on them
    await world.progress_is(delivered=3)


async def test_what_was_not_compared_or_differs_is_not_promoted(
    world: World, replay: Replay, database_url: str
) -> None:
    await world.publish([world.life(0).created(), *lived(world, range(3))])
    await world.progress_is(delivered=3)
    assert "there is no run" in (await replay("promote", exit_code=1)).stderr
    assert "no former tables" in (await replay("promote", "--back", exit_code=1)).stderr
    await replay("run")
    assert "was not compared" in (await replay("promote", exit_code=1)).stderr
    rid = world.life(0).recipient_id
    await asks(database_url, f"UPDATE projections_run.recipients SET processed_by = 'mal' WHERE recipient_id = '{rid}'")
    await replay("diff", exit_code=1)
    assert "was found to differ" in (await replay("promote", exit_code=1)).stderr
    assert await asks(database_url, SCHEMAS) == ["projections", "projections_run"]
    await replay("promote", "--force", exit_code=2)
    await replay("promote", "--force", "--reason", "the live one is wrong")
    kept = json.loads((await replay("history", "--json", "--limit", "1")).stdout)
    assert (kept["command"], kept["arguments"]["reason"]) == ("promote", "the live one is wrong")
    assert "there is nothing to drop" in (await replay("abort", exit_code=1)).stderr
    await replay("promote", "--back")


async def test_what_a_promote_tells_otherwise_is_told_to_those_who_listen(
    world: World, replay: Replay, database_url: str
) -> None:
    """The same events, so the same count of them: only the table says that the figures are others."""
    await world.publish([world.life(0).created(), *lived(world, range(3)), world.life(0).ended()])
    await world.progress_is(delivered=3, state="completed")
    await replay("run")
    otherwise = "UPDATE projections_run.campaigns SET delivered = delivered - 1, failed = failed + 1 WHERE campaign_id"
    await asks(database_url, f"{otherwise} = '{world.campaign_id}'")
    async with world.listening() as listener:
        before, told = await listener.next()
        assert told["delivered"] == 3
        await replay("diff", exit_code=1)
        await replay("promote", "--force", "--reason", "the live one is wrong")
        after, told = await listener.next()
        assert (told["delivered"], told["failed"]) == (2, 1)
        assert after.partition(".")[0] == before.partition(".")[0]
    older_form = before.partition(".")[0]
    for last in (before, older_form):
        async with world.listening(last_event_id=last) as missed:
            assert await missed.next() == (after, told)
    await replay("promote", "--back")
    await world.progress_is(delivered=3, failed=0)


async def test_a_run_that_was_migrated_since_is_compared_anew(
    world: World, replay: Replay, database_url: str, tmp_path: Path
) -> None:
    await world.publish([world.life(0).created(), *lived(world, range(3))])
    await world.progress_is(delivered=3)
    await replay("run")
    await replay("diff")
    (tmp_path / "0999_wrong.sql").write_text("UPDATE recipients SET processed_by = 'mal'")
    await replay("run", "--migrations", str(tmp_path))
    assert "was not compared" in (await replay("promote", exit_code=1)).stderr
    assert await asks(database_url, SCHEMAS) == ["projections", "projections_run"]
    await replay("diff", exit_code=1)
    await replay("abort")
    await replay("run")
    await replay("diff")
    await replay("run")  # which only folds
    await replay("promote")


async def test_a_forced_run_that_is_behind_is_folded_up_by_projections_itself(
    world: World, replay: Replay, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app_run, "NEAR", 0)
    async with at_work(world) as (readers, writers):
        await eventually(lambda: more(writers, 60), lambda: "people go on")
        await replay("run")
        # What is folded once more changes nothing: the rows know these events.
        await asks(database_url, "UPDATE projections_run.offsets SET next_offset = 0 WHERE topic = 'receipts'")
        assert "events to fold once more" in (await replay("promote", "--force", "--reason", "a test")).stderr
    assert readers.refused == []
    await world.progress_is(delivered=writers.people, recipients=writers.people)
    await world.caught_up()
    assert json.loads((await replay("verify", "--service", "projections", "--json")).stdout)["equal"]


@pytest.mark.parametrize(("step", "after"), [("promote.exchanged", ["projections", "projections_run"]),
                                             ("promote.committed", ["projections", "projections_old"])])  # fmt: skip
async def test_killed_in_the_middle_it_has_happened_or_not(
    step: str, after: list[str], world: World, replay: Replay, settings: dict[str, str],
    database_url: str, tmp_path: Path,
) -> None:  # fmt: skip
    (tmp_path / "steps").mkdir()
    (tmp_path / "steps" / f"replay.{step}").write_text("KILL")
    async with at_work(world) as (readers, writers):
        await replay("run")
        await replay("diff")
        environment = {**os.environ, **settings, "STEPS_DIR": str(tmp_path / "steps")}
        command = [sys.executable, "-m", "handsent", "replay", "promote"]
        killed = await asyncio.to_thread(subprocess.run, command, env=environment, timeout=PATIENCE_S)
        assert killed.returncode == -signal.SIGKILL

        async def as_it_should() -> bool:
            return bool(await asks(database_url, SCHEMAS) == after)

        await eventually(as_it_should, lambda: f"{after} come true")
        people = writers.people
        await eventually(lambda: more(writers, people + 60), lambda: "people go on")
        left = json.loads((await replay("history", "--json", "--limit", "1")).stdout)
        assert (left["command"], left["outcome"]) == ("promote", None)
        if "projections_run" in after:
            await replay("promote")
    assert readers.refused == [] and not readers.went_back
    await world.progress_is(delivered=writers.people, recipients=writers.people)
