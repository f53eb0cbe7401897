"""The clock changes hands on a real Postgres and a real Kafka: leaders freeze wherever they stand, databases are put
back, and what is in the topic stays true."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import scheduler.store as scheduler
from handsent import topics
from handsent.kafka import EmbeddedKafka
from kernel import database, kafka
from kernel.outbox import Outbox
from kernel.relay import Relay
from kernel.testing import eventually, processed

from schemas.topics import TOPICS
from tests.integration.send_intake import published
from tests.integration.send_intake.conftest import Intake
from tests.integration.send_intake.host import Host
from tests.integration.send_intake.leader import relay_with_clock
from tests.integration.send_intake.published import Published
from tests.integration.send_intake.races import held

PARTITIONS = TOPICS["campaigns"].partitions_local
USED = ("campaigns", "clock", "processed")
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A broker of these tests' own: the clock in its topic is nobody else's."""
    with EmbeddedKafka(tmp_path_factory.mktemp("a clock's broker")) as broker:
        asyncio.run(topics.create(broker.bootstrap, [TOPICS[name] for name in USED]))
        asyncio.run(kafka.when_there(broker.bootstrap, USED))  # type: ignore[arg-type]
        yield broker.bootstrap


@pytest.fixture
async def so_far(broker: str) -> int:
    """How many readings earlier tests have published."""
    return len((await published.read(broker, PARTITIONS)).clocks)


class Phase:
    """A place in a leader's work where it freezes, once, as soon as the test says so."""

    def __init__(self) -> None:
        self.armed, self.frozen, self.thaw = False, asyncio.Event(), asyncio.Event()

    async def passes(self) -> None:
        if self.armed and not self.frozen.is_set():
            self.frozen.set()
            await self.thaw.wait()

    def around(self, on: Any, method: str, before: bool) -> None:
        """Freezes before the method, or after it."""
        inner: Callable[..., Awaitable[Any]] = getattr(on, method)

        async def with_the_freeze(*arguments: Any) -> Any:
            if before:
                await self.passes()
            answer = await inner(*arguments)
            if not before:
                await self.passes()
            return answer

        setattr(on, method, with_the_freeze)


@asynccontextmanager
async def leading(database_url: str, bootstrap: str, phase: Phase | None = None, at: str = "") -> AsyncIterator[Relay]:
    relay, clock, watcher = relay_with_clock(database_url, bootstrap, PARTITIONS)
    if phase is not None:
        when, _, method = at.partition(" ")
        of = {"ends": watcher, "_on_round": relay}.get(method, clock)
        phase.around(of, method, when == "before")
    task = asyncio.create_task(relay.run())
    try:
        yield relay
        if task.done():
            task.result()
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await watcher.stop()


async def until_read(broker: str, after: int, more: int = 1) -> Published:
    """Until so many more readings are in the topic."""

    async def enough() -> Published | None:
        found = await published.read(broker, PARTITIONS, after)
        return found if len(found.clocks) >= more else None

    found: Published = await eventually(enough, f"{more} readings more than {after}")
    return found


async def watermarks(database_url: str, found: Published) -> list[datetime]:
    """What the scheduler makes of the readings, its `campaigns` being read to the end, one after the other."""
    await database.migrate(database_url, "scheduler", "scheduler")
    pool = await database.open_pool(database_url, "scheduler", max_size=1)
    every = [("campaigns", partition, 1_000_000) for partition in range(PARTITIONS)]
    await pool.executemany("INSERT INTO offsets VALUES ($1, $2, $3)", every)
    seen: list[datetime] = []
    for clock in found.clocks:
        async with pool.acquire() as connection, connection.transaction():
            await scheduler.keep_clocks(connection, [clock])
            await scheduler.advance_watermark(connection)
            seen.append(await connection.fetchval("SELECT at FROM watermark"))
    await pool.close()
    return seen


PHASES = {
    "before it has read the time": "before _read",
    "when it has read the time and moved no END": "after _read",
    "before it asks how far the log reaches": "before ends",
    "when it knows, and has published nothing": "after ends",
    "after it has published": "after _on_round",
}


@pytest.mark.parametrize("at", PHASES.values(), ids=list(PHASES))
async def test_a_leader_freezes_and_its_heir_goes_on_and_what_it_says_when_it_wakes_is_still_true(
    intake: Intake, broker: str, so_far: int, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    campaigns, phase = [await intake.campaign(0) for _ in range(4)], Phase()
    monkeypatch.setattr("kernel.relay.FROZEN_AFTER", "1s")
    async with leading(intake.database_url, broker, phase, at) as frozen:
        await until_read(broker, so_far)
        await intake.end(campaigns[0])
        phase.armed = True
        await eventually(phase.frozen.is_set, "it freezes")
        monkeypatch.setattr("kernel.relay.FROZEN_AFTER", "5s")
        async with leading(intake.database_url, broker) as heir:
            await intake.end(campaigns[1])  # nobody has taken over yet: an END waits for no leader
            before = len((await published.read(broker, PARTITIONS)).clocks)
            await eventually(lambda: heir.leading, "the heir leads")
            await intake.end(campaigns[2])
            await until_read(broker, before, 2)
            phase.thaw.set()
            await eventually(lambda: not frozen.leading, "the frozen one notices")
            await intake.end(campaigns[3])
            ended = [end for end in await _ended(intake) if end]
            await eventually(lambda: _covers(broker, so_far, max(ended)), "the last END is covered")
    found = await published.read(broker, PARTITIONS, so_far)
    assert found.untrue() == []
    assert {end.ended_at for end in found.ends.values()} >= set(ended) and len(ended) == 4
    # After the ends it asks its session what was acknowledged: without one it has nothing more to say.
    assert found.readings == sorted(found.readings), "it had lost its session, and published no more"
    marks = await watermarks(intake.database_url, found)
    assert marks == sorted(marks) and marks[-1] == max(found.readings), "the scheduler goes by the newest"


async def _ended(intake: Intake) -> list[datetime]:
    return [row["ended_at"] for row in await intake.pool.fetch("SELECT ended_at FROM campaigns")]


async def _covers(broker: str, so_far: int, at: datetime) -> bool:
    return max((await published.read(broker, PARTITIONS, so_far)).readings) >= at


async def test_a_new_leader_s_clock_is_above_what_is_in_the_topic_whatever_postgres_says(
    intake: Intake, broker: str, so_far: int
) -> None:
    """The database is put back by a day, onto a host whose time is two hours behind."""
    campaign = await intake.campaign(0)
    host = await Host.of(intake.pool, datetime.now(UTC) + HOUR)
    async with leading(intake.database_url, broker):
        await until_read(broker, so_far, 3)
    first = await published.read(broker, PARTITIONS, so_far)
    await host.set(datetime.now(UTC) - HOUR)
    await intake.pool.execute("UPDATE clock SET at = at - interval '1 day'")
    ending = asyncio.create_task(intake.end(campaign))
    async with leading(intake.database_url, broker):
        ended_at = await ending
        await eventually(lambda: _covers(broker, so_far, ended_at), "the END is covered")
    found = await published.read(broker, PARTITIONS, so_far)
    assert ended_at > first.readings[-1]
    assert found.readings == sorted(set(found.readings))
    assert found.untrue() == []


async def test_a_leader_remembers_what_it_has_published_when_the_row_is_put_back_in_its_term(
    intake: Intake, broker: str, so_far: int
) -> None:
    campaign = await intake.campaign(0)
    async with leading(intake.database_url, broker):
        before = (await until_read(broker, so_far)).readings[-1]
        await intake.pool.execute("UPDATE clock SET at = at - interval '1 day'")
        assert await intake.end(campaign) > before
        await until_read(broker, so_far, 4)
    readings = (await published.read(broker, PARTITIONS, so_far)).readings
    assert readings == sorted(set(readings))


async def test_an_older_reading_that_came_last_does_not_hide_the_newest(
    intake: Intake, broker: str, so_far: int
) -> None:
    """A leader that was frozen has appended it."""
    newest = datetime.now(UTC) + 2 * HOUR
    await Host.of(intake.pool, newest)
    async with leading(intake.database_url, broker):
        await until_read(broker, so_far, 2)
    older = (await kafka.newest(broker, ("clock", 0), 10_000))[so_far - 1]
    producer = kafka.producer(broker, "a leader that was frozen")
    await producer.start()
    await producer.send_and_wait("clock", older, partition=0)
    await producer.stop()
    readings = (await published.read(broker, PARTITIONS, so_far)).readings
    assert readings[-1] < max(readings)
    await intake.pool.execute("UPDATE clock SET at = 'epoch'")
    after = so_far + len(readings)
    async with leading(intake.database_url, broker):
        assert (await until_read(broker, after)).readings[0] > max(readings)


# --- processes that are stopped ------------------------------------------------------------------------------


class Processes:
    def __init__(self, database_url: str, bootstrap: str, folder: Path) -> None:
        self.arguments, self.folder = (database_url, bootstrap), folder
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> subprocess.Popen[bytes]:
        with (self.folder / f"{len(self.processes)}.log").open("wb") as log:
            command = [sys.executable, "-m", "tests.integration.send_intake.leader", *self.arguments]
            self.processes.append(subprocess.Popen(command, stdout=log, stderr=log))
        return self.processes[-1]

    def end(self) -> None:
        for process in self.processes:
            process.send_signal(signal.SIGCONT)
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            process.wait(20)


@pytest.fixture
async def processes(intake: Intake, broker: str, tmp_path: Path) -> AsyncIterator[Processes]:
    processes = Processes(intake.database_url, broker, tmp_path)
    yield processes
    processes.end()


async def test_a_stopped_leader_holds_no_end_up_and_is_replaced_within_seconds(
    intake: Intake, broker: str, so_far: int, processes: Processes
) -> None:
    campaigns = [await intake.campaign(0) for _ in range(3)]
    first = processes.start()
    await until_read(broker, so_far, 2)
    processes.start()
    first.send_signal(signal.SIGSTOP)
    await intake.end(campaigns[0])
    stopped = len((await published.read(broker, PARTITIONS)).clocks)
    await until_read(broker, stopped, 2)
    await intake.end(campaigns[1])
    first.send_signal(signal.SIGCONT)
    ended_at = await intake.end(campaigns[2])
    await eventually(lambda: _covers(broker, so_far, ended_at), "the last END is covered")
    assert (await published.read(broker, PARTITIONS, so_far)).untrue() == []


async def test_a_leader_that_is_stopped_while_postgres_answers_it_is_replaced_too(
    intake: Intake, broker: str, so_far: int, processes: Processes
) -> None:
    """Its session is busy sending, so no time-out of an idle one ends it."""
    first = processes.start()
    await until_read(broker, so_far)
    outbox = Outbox()
    outbox.extend(_large(n) for n in range(80))
    async with held(intake.database_url, "LOCK TABLE outbox IN ACCESS EXCLUSIVE MODE") as connection:
        await outbox.write(connection)  # more than any buffer between them takes
        await eventually(lambda: _stands_before_the_outbox(intake), "the leader asks for what is there")
        first.send_signal(signal.SIGSTOP)
    processes.start()
    stopped = len((await published.read(broker, PARTITIONS)).clocks)
    await until_read(broker, stopped)
    await eventually(lambda: _is_empty(intake), "the heir moves it", 30)


def _large(n: int) -> Any:
    event = processed(n)
    return type(event)(**{name: getattr(event, name) for name in event.__slots__} | {"text": "x" * 500_000})


async def _stands_before_the_outbox(intake: Intake) -> bool:
    return bool(await intake.pool.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'relation'"))


async def _is_empty(intake: Intake) -> bool:
    return not await intake.pool.fetchval("SELECT count(*) FROM outbox")
