"""Event-sourced means rebuildable, on the spot: a service's tables at one moment against the log up to that moment.

The service goes on meanwhile, and nothing is committed anywhere. What had happened by the moment is told exactly:

- *Inputs* count up to the snapshot's `offsets`, which moved in the transactions of their effects.
- *Own events* count if they were committed by the snapshot. Those that had not left the outbox are in the snapshot's
  outbox. The others are in the log, and in the transaction that took them from the outbox the relay wrote down how far
  the log was (`produced`). So: the log up to the snapshot's `produced`, and the snapshot's outbox. What lies before
  `produced` was read from committed rows by then; what was appended beyond it is in that outbox still, or came later.
- `produced` lacks a partition that nothing was added to since it began to be kept. For such the ends of the topics are
  asked for too, *before* the snapshot: what was in the log then was committed, so a later snapshot sees its effect.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from kernel import kafka, offsets, replay_log, replay_tables
from kernel.database import Connection, Pool
from kernel.errors import LogLost
from kernel.offsets import Position
from kernel.replay_log import Records, Span
from kernel.replay_tables import Named, q
from kernel.verdict import Refused, Verdict, missing
from schemas.topics import FOR_EVER, TOPICS

OUTBOX = -1  # the partition of an event that is in none yet; its offset is above every other
BEYOND = 2**62


class Fold(Protocol):
    """A service's tables, told once more: own events first, then inputs."""

    @property
    def stopped(self) -> Mapping[Position, int]:
        """Where it came upon an event that cannot be folded; it takes no more of that partition."""

    async def begin(self, connection: Connection) -> None: ...
    async def apply(self, records: Records) -> None: ...
    async def finish(self, connection: Connection) -> None:
        """All has been told: makes the tables of it, and of the live ones what may be compared with them."""


@dataclass(frozen=True)
class Rebuilt:
    """How a service is rebuilt. `operational` are its tables, and columns (`table.column`), that no event tells."""

    service: str
    fold: Callable[[Pool], Fold]
    inputs: tuple[str, ...] = ()
    own: tuple[str, ...] = ()
    operational: frozenset[str] = frozenset()
    by_statements: bool = False  # its fold is the service's own statements, which need keys and constraints
    drifted: Callable[[Connection], Awaitable[list[str]]] | None = None  # asked of the live tables themselves

    @property
    def schema(self) -> str:
        return self.service.replace("-", "_")


class _Snapshot(NamedTuple):
    tables: list[Named]
    drifted: list[str]


async def verify(database_url: str, bootstrap: str, rebuilt: Rebuilt) -> Verdict:
    """Folds the topics again and compares.

    Raises LogLost when the log does not hold all that was folded, NotComparable, and what Kafka and Postgres raise.
    """
    now = asyncio.get_running_loop().time
    began = now()
    pool = await replay_tables.open_session(database_url, rebuilt.schema)
    watcher = kafka.Watcher(bootstrap)
    try:
        before = await _ends_of_own(bootstrap, watcher, rebuilt)
        snapshot = await _take(pool, rebuilt)
        if rebuilt.inputs:
            await offsets.bind(pool, *await kafka.describe(bootstrap, rebuilt.inputs))
        async with pool.acquire() as connection:
            own = _further(before, await replay_tables.positions(connection, q.produced, rebuilt.own))
            read = await replay_tables.positions(connection, q.until, rebuilt.inputs)
            passed_over = await connection.fetchval(q.passed_over, list(rebuilt.inputs))
            fold = rebuilt.fold(pool)
            await fold.begin(connection)
        spans = await _spans(watcher, own | read)
        fold_began = now()
        await _read(bootstrap, fold, {position: spans[position] for position in own})
        unsent = await _read_outbox(pool, fold, rebuilt.own)
        await _read(bootstrap, fold, {position: spans[position] for position in read})
        async with pool.acquire() as connection:
            await fold.finish(connection)
            fold_s = now() - fold_began
            compared = await replay_tables.compare(connection, snapshot.tables, rebuilt.operational)
    finally:
        await pool.close()
        await watcher.stop()
    events = sum(span.until - span.first for span in spans.values()) + unsent - passed_over
    refused = [Refused(*position, offset) for position, offset in sorted(fold.stopped.items())]
    return Verdict(compared, snapshot.drifted, refused, events, passed_over, fold_s, now() - began)


async def _ends_of_own(bootstrap: str, watcher: kafka.Watcher, rebuilt: Rebuilt) -> dict[Position, int]:
    if not rebuilt.own:
        return {}
    _, partitions = await kafka.describe(bootstrap, rebuilt.own)
    return await watcher.ends([(topic, p) for topic, count in partitions.items() for p in range(count)])


async def _take(pool: Pool, rebuilt: Rebuilt) -> _Snapshot:
    """The live tables as they stand at one moment, and each again, empty."""
    schema, operational = rebuilt.schema, rebuilt.operational
    async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read"):
        tables = await replay_tables.copy(connection, rebuilt.service, schema, operational)
        drifted: list[str] = []
        if rebuilt.drifted is not None:
            await connection.execute(f'SET LOCAL search_path TO "{schema}", pg_temp')
            drifted = await rebuilt.drifted(connection)
            await connection.execute("SET LOCAL search_path TO pg_temp")
        if rebuilt.by_statements:
            await replay_tables.make_for_statements(connection, schema, tables)
        else:
            await replay_tables.make(connection, schema, tables, operational)
    return _Snapshot(tables, drifted)


def _further(ends: Mapping[Position, int], produced: Mapping[Position, int]) -> dict[Position, int]:
    return {position: max(end, produced.get(position, 0)) for position, end in ends.items()}


async def _spans(watcher: kafka.Watcher, until: Mapping[Position, int]) -> dict[Position, Span]:
    """Raises LogLost unless the topics hold all of it still."""
    beginnings, ends = await watcher.beginnings(until), await watcher.ends(until)
    not_kept = frozenset(topic for topic, _ in until if TOPICS[topic].retention_ms != FOR_EVER)
    if lacking := missing(beginnings, ends, until, not_kept):
        raise LogLost(lacking)
    return {position: Span(min(beginnings[position], end), end) for position, end in until.items()}


async def _read(bootstrap: str, fold: Fold, spans: Mapping[Position, Span]) -> None:
    def stopped() -> Collection[Position]:
        return fold.stopped.keys()

    await replay_log.read(bootstrap, spans, fold.apply, stopped)


class _Unsent(NamedTuple):
    offset: int
    key: bytes | None
    value: bytes


async def _read_outbox(pool: Pool, fold: Fold, topics: Collection[str]) -> int:
    """How many events had not left yet."""
    count = 0
    async for batch in replay_tables.waiting(pool, topics):
        records: dict[Position, list[_Unsent]] = {}
        for topic, key, value in batch:
            count += 1
            records.setdefault((topic, OUTBOX), []).append(_Unsent(BEYOND + count, key, value))
        await fold.apply(records)
    return count
