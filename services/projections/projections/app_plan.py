"""What a run would do: how many events, how much room, how long; nothing is moved."""

import asyncio
import os
from collections.abc import Mapping
from typing import NamedTuple

from kernel import kafka, quarantine

from projections import app_run, app_shares, store_run
from projections.app import TOPICS
from projections.app_bulk import SAMPLE, Share
from projections.app_run import Offsets
from projections.store_run import LIVE, RUN

SAMPLED = 40_000  # events at most, over all partitions


class Part(NamedTuple):
    """What would be read of a partition."""

    topic: str
    partition: int
    start: int
    until: int

    @property
    def events(self) -> int:
        return self.until - self.start


class Size(NamedTuple):
    """A table that is live: bytes with its indexes, and about how many rows."""

    table: str
    bytes: int
    rows: int


class Plan(NamedTuple):
    """`per_second` is what a sample was folded at; None where there is nothing to sample."""

    parts: list[Part]
    sizes: list[Size]
    goes_on: bool
    workers: int
    sampled: int
    per_second: float | None

    @property
    def events(self) -> int:
        return sum(part.events for part in self.parts)

    @property
    def room(self) -> int:
        """Bytes: what the live tables have, for the run's are never larger. As much goes through Postgres's log."""
        return sum(size.bytes for size in self.sizes)

    @property
    def seconds(self) -> float | None:
        return self.events / self.per_second if self.per_second else None


async def plan(url: str, bootstrap: str, workers: int | None) -> Plan:
    """Raises LogLost when the log does not hold what would be read."""
    workers = workers or os.cpu_count() or 1
    async with store_run.session(url) as admin:
        until = await store_run.offsets_of(admin, LIVE)
        goes_on = RUN in await store_run.schemas(admin)
        starts = await store_run.offsets_of(admin, RUN) if goes_on else {}
        sizes = [Size(*row) for row in await admin.fetch(store_run.q.sizes, LIVE)]
    await app_run.check_log(bootstrap, until)
    _, partitions = await kafka.describe(bootstrap, TOPICS)
    parts = [Part(*position, starts.get(position, 0), end) for position, end in sorted(until.items())]
    sampled, per_second = await _sample(url, bootstrap, until, partitions, workers)
    return Plan(parts, sizes, goes_on, workers, sampled, per_second)


async def _sample(
    url: str, bootstrap: str, until: Offsets, partitions: Mapping[str, int], workers: int
) -> tuple[int, float | None]:
    """How fast the first events of each partition are folded, by as many workers, into tables that nobody sees."""
    all_ = sum(until.values())
    spans = {position: (0, _share(end, all_)) for position, end in until.items()}
    dealt = app_shares.deal(spans, partitions, workers)
    pool = await store_run.open_pool(url, LIVE)
    aside = [(*position, offset) for position, offset in await quarantine.passed_over(pool)]
    await pool.close()
    shares = [Share(url, bootstrap, SAMPLE, [(*p, *span) for p, span in some.items()], aside) for some in dealt]
    clock = _Clock()
    await app_shares.fold_all(shares, clock.folded)
    return clock.events, clock.per_second(asyncio.get_running_loop().time())


def _share(end: int, all_: int) -> int:
    """The part of a partition in the sample."""
    return -(-end * min(SAMPLED, all_) // all_)


class _Clock:
    """Runs from the first word of a worker: how long they take to start is no matter of the log's."""

    def __init__(self) -> None:
        self.events = self._first = 0
        self._began = 0.0

    def folded(self, events: int) -> None:
        if not self.events:
            self._began, self._first = asyncio.get_running_loop().time(), events
        self.events += events

    def per_second(self, ended: float) -> float | None:
        """What was folded after the first word, by the time until all was committed."""
        return (self.events - self._first) / (ended - self._began) if self.events > self._first else None
