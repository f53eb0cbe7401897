"""The read models from offset 0, in a schema beside the live one, up to where projections itself has read."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple

import asyncpg
from kernel import kafka, offsets, quarantine
from kernel.batch import BatchLoop
from kernel.database import Pool
from kernel.errors import LogLost
from kernel.offsets import Position
from kernel.steps import reached
from kernel.verdict import missing

from projections import app_shares, store_run
from projections.app import TOPICS, handle
from projections.app_bulk import Share
from projections.app_shares import BY_RECIPIENT
from projections.app_span import reader
from projections.store_run import LIVE, RUN, MovedElsewhere, Refused

BULK = 20_000  # events behind: fewer are folded sooner than a worker has started
NEAR = 50_000  # events behind: so many are folded while somebody waits for a comparison
ORDINARY_RECORDS = 5000
FOLLOW_S, FOLLOW_PATIENCE_S = 1.0, 600.0
WAIT_S = 10.0
Offsets = Mapping[Position, int]
Say = Callable[[str], None]


class NoRun(Refused):
    """It was promoted or aborted, or never begun."""


class Done(NamedTuple):
    """What a run has folded, and where it stands still: positions with the offset of the event."""

    events: int
    seconds: float
    stopped: dict[Position, int]

    @property
    def per_second(self) -> int:
        return round(self.events / self.seconds) if self.seconds else 0


class Run:
    """The run's schema and the log it is folded from."""

    def __init__(self, url: str, bootstrap: str, admin: asyncpg.Connection, pool: Pool, counts: Mapping[str, int]):
        self.url, self.bootstrap, self.admin, self.pool, self.partitions = url, bootstrap, admin, pool, counts
        self.stopped: dict[Position, int] = {}

    async def live(self) -> dict[Position, int]:
        """Where the live tables stand."""
        return await store_run.offsets_of(self.admin, LIVE)

    async def behind(self, until: Offsets) -> int:
        """How many events the run lacks of these offsets."""
        stored = await offsets.read(self.pool, until)
        return sum(max(0, end - stored[position]) for position, end in until.items())

    async def beyond(self, until: Offsets) -> int:
        """How many events the run has folded that are not before these offsets."""
        stored = await store_run.offsets_of(self.admin, RUN)
        return sum(max(0, offset - until.get(position, 0)) for position, offset in stored.items())

    async def fold(self, until: Offsets) -> None:
        """The ordinary fold up to these offsets, or up to the events it stands still at. Raises MovedElsewhere."""
        starts = await offsets.read(self.pool, until)
        if all(starts[position] >= end for position, end in until.items()):
            return
        loop = BatchLoop(self.pool, handle, asyncio.Event())
        async with reader(self.bootstrap, starts) as log:
            left = dict(until)
            while records := await log.some(left, ORDINARY_RECORDS):
                if (await loop.apply(records)).seek:
                    raise MovedElsewhere("the offsets of the run were moved by somebody else")
                left = {position: end for position, end in until.items() if position not in loop.stopped}
        self.stopped |= loop.stopped

    async def bulk(self, until: Offsets, workers: int, say: Say) -> None:
        """Up to these offsets in large steps, by several processes. What is irregular is left to `fold`."""
        starts = await offsets.read(self.pool, until)
        state = await store_run.state(self.admin)
        if state and state.indexes is None and not any(starts.values()):
            await store_run.defer_indexes(self.admin)
        aside = [(*position, offset) for position, offset in await quarantine.passed_over(self.pool)]
        dealt = app_shares.deal({p: (starts[p], until[p]) for p in until}, self.partitions, workers)
        shares = [
            Share(self.url, self.bootstrap, RUN, [(*p, *span) for p, span in spans.items()], aside) for spans in dealt
        ]
        told = _Progress(sum(end - starts[position] for position, end in until.items()), say)
        async with asyncio.TaskGroup() as group:
            folding = group.create_task(app_shares.fold_all(shares, told.folded))
            others = {position: end for position, end in until.items() if position[0] not in BY_RECIPIENT}
            await self.fold(others)
            reasons = await folding
        for why in reasons:
            say(f"a worker left the rest to the ordinary fold: {why}")

    async def settle(self, say: Say) -> None:
        """Makes the indexes that the bulk went without."""
        state = await store_run.state(self.admin)
        if state and state.indexes:
            say("making indexes")
            await store_run.make_indexes(self.admin, state.indexes)
            await store_run.analyze(self.pool, self.admin)
        elif state and not state.caught_up_at:
            await store_run.analyze(self.pool, self.admin)


class _Progress:
    """A line every few seconds."""

    EVERY_S = 5.0

    def __init__(self, events: int, say: Say) -> None:
        self._all, self._say, self._done = events, say, 0
        self._began = self._said = asyncio.get_running_loop().time()

    def folded(self, events: int) -> None:
        self._done += events
        now = asyncio.get_running_loop().time()
        if now - self._said >= self.EVERY_S:
            self._said = now
            self._say(f"{self._done:,} of {self._all:,} events, {self._done / (now - self._began):,.0f}/s")


@asynccontextmanager
async def opened(url: str, bootstrap: str, admin: asyncpg.Connection, wait_s: float = WAIT_S) -> AsyncIterator[Run]:
    """The run there is, for one command at a time. Raises Refused, LogLost."""
    async with store_run.alone(admin, wait_s):
        if RUN not in await store_run.schemas(admin):
            raise NoRun("there is no run: begin one with `handsent replay run`")
        pool = await store_run.open_pool(url, RUN, max_size=2)
        try:
            await store_run.same_log(admin)
            ids, partitions = await kafka.describe(bootstrap, TOPICS)
            await offsets.bind(pool, ids, partitions)
            yield Run(url, bootstrap, admin, pool, partitions)
        finally:
            await pool.close()


async def run(url: str, bootstrap: str, also: Mapping[str, str], workers: int | None, say: Say) -> Done:
    """Makes a run, or goes on with the one there is, until it has caught up with the live offsets."""
    async with store_run.session(url) as admin:
        await check_log(bootstrap, await store_run.offsets_of(admin, LIVE))
        async with store_run.alone(admin, WAIT_S):
            await store_run.make(admin, url, also)
        async with opened(url, bootstrap, admin) as found:
            return await _caught_up(found, workers or os.cpu_count() or 1, say)


async def _caught_up(run: Run, workers: int, say: Say) -> Done:
    now = asyncio.get_running_loop().time
    began, until = now(), await run.live()
    events = await run.behind(until)
    if events >= BULK:
        await run.bulk(until, workers, say)
        reached("run.bulk")
    await run.fold(until)
    await run.settle(say)
    await _follow_once(run)
    return Done(events, now() - began, run.stopped)


async def _follow_once(run: Run) -> bool:
    """Up to the live offsets as they are now; False where the run stands still before them."""
    until = await run.live()
    await run.fold(until)
    if await run.behind(until):
        return False
    await store_run.caught_up(run.admin)
    return True


async def follow(url: str, bootstrap: str, say: Say) -> dict[Position, int]:
    """Keeps the run caught up until it is promoted or aborted, or stands still: where. Lets other commands in between.

    Raises Refused when another command does not let it in.
    """
    async with store_run.session(url) as admin:
        while True:
            try:
                async with opened(url, bootstrap, admin, FOLLOW_PATIENCE_S) as found:
                    going_on = await _follow_once(found)
            except NoRun as error:
                say(f"it is not followed any more: {error}")
                return {}
            if not going_on:
                say("it is not followed any more: it stands still")
                return found.stopped
            await asyncio.sleep(FOLLOW_S)


async def check_log(bootstrap: str, until: Offsets) -> None:
    """Raises LogLost unless the log holds still what projections has folded."""
    watcher = kafka.Watcher(bootstrap)
    try:
        if lacking := missing(await watcher.beginnings(until), await watcher.ends(until), until):
            raise LogLost(lacking)
    finally:
        await watcher.stop()
