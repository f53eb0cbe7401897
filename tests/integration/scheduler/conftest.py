"""Schedulers on one real Postgres: their batch loops are handed what they read, the outbox has what they decide."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest
from kernel import database
from kernel.batch import BatchLoop
from kernel.database import Pool
from kernel.outbox import unpack
from kernel.testing import Record, eventually
from scheduler.app import TOPICS, Scheduler
from scheduler.app_release import Releases
from scheduler.lateness import Lateness
from scheduler.store import SESSION

from schemas.codec import decode, encode
from schemas.events import Event, MessageDropped, MessageReleased
from schemas.topics import TOPIC_OF
from schemas.topics import TOPICS as REGISTRY

Position = tuple[str, int]


class Log:
    """What is in the topics, as far as the tests have put it there."""

    def __init__(self) -> None:
        self.records: dict[Position, list[Record]] = defaultdict(list)

    def put(self, *events: Event, partition: int = 0) -> Position:
        topic = TOPIC_OF[type(events[0])].name
        records = self.records[topic, partition]
        records += [Record(len(records) + n, encode(event)) for n, event in enumerate(events)]
        return topic, partition


class Instance:
    """One scheduler process: its batch loop, and its releasing at work beside."""

    def __init__(self, pool: Pool, log: Log, chunk: int) -> None:
        self.pool, self.log = pool, log
        self.lateness = Lateness()
        self.releases = Releases(pool, asyncio.Event(), chunk, self.lateness)
        scheduler = Scheduler(self.releases.go_on)
        self.loop = BatchLoop(pool, scheduler.handle, asyncio.Event(), scheduler.committed)

    async def read(self, *events: Event, partition: int = 0) -> None:
        """Appends the events to the log and reads that partition to its end."""
        await self.read_on(self.log.put(*events, partition=partition))

    async def read_on(self, *positions: Position) -> None:
        await self.loop.positions(positions)
        await self.loop.apply({position: self.log.records[position] for position in positions})


class Schedulers:
    """A test's view: instances, and what came out of all of them."""

    def __init__(self, pool: Pool) -> None:
        self.pool, self.log = pool, Log()
        self._stack = AsyncExitStack()

    async def start(self, chunk: int = 2000) -> Instance:
        instance = Instance(self.pool, self.log, chunk)
        await self._stack.enter_async_context(_running(instance.releases))
        return instance

    async def stop(self) -> None:
        await self._stack.aclose()

    async def out(self) -> list[MessageReleased | MessageDropped]:
        """Every decision, in the outbox's order."""
        return [
            event
            for event in map(decode, await self.bytes_out())
            if isinstance(event, MessageReleased | MessageDropped)
        ]

    async def bytes_out(self) -> list[bytes]:
        rows = await self.pool.fetch("SELECT events FROM outbox ORDER BY seq")
        return [value for row in rows for _, value in unpack(row["events"])]

    async def until_out(self, count: int) -> list[MessageReleased | MessageDropped]:
        async def enough() -> bool:
            return len(await self.out()) >= count

        await eventually(enough, f"{count} decisions")
        return await self.out()

    async def held(self) -> int:
        return int(await self.pool.fetchval("SELECT count(*) FROM held"))


@asynccontextmanager
async def _running(releases: Releases) -> AsyncIterator[None]:
    task = asyncio.create_task(releases.run())
    try:
        yield
        if task.done():
            task.result()
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture
async def schedulers(database_url: str) -> AsyncIterator[Schedulers]:
    await database.migrate(database_url, "scheduler", "scheduler")
    pool = await database.open_pool(database_url, "scheduler", **SESSION)
    rows = [(topic, partition) for topic in TOPICS for partition in range(REGISTRY[topic].partitions_local)]
    await pool.executemany("INSERT INTO offsets VALUES ($1, $2, 0)", rows)
    schedulers = Schedulers(pool)
    yield schedulers
    await schedulers.stop()
    await pool.close()


@pytest.fixture
async def one(schedulers: Schedulers) -> Instance:
    return await schedulers.start()
