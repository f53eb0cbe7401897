"""The pattern of every service: a batch of records -> events -> one transaction {offsets, effect, outbox} -> relay."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import asyncpg
import structlog
from prometheus_client import Counter, Gauge

from kernel import offsets, quarantine
from kernel.database import Connection, Pool
from kernel.errors import InvariantBroken, retriable
from kernel.offsets import Move, Position
from kernel.outbox import Outbox
from kernel.received import Received
from kernel.steps import reached
from schemas.codec import UndecodableEvent, decode

log = structlog.get_logger()

EVENTS = Counter("handsent_events_applied_total", "Events applied", ["topic"])
STOPPED = Gauge("handsent_partition_stopped", "1 while a partition stands still at an event", ["topic", "partition"])

UNSURE = -1  # where a partition continues: Postgres was away, and may have taken back what we know

Handler = Callable[[Connection, list[Received], Outbox], Awaitable[None]]
Broken = dict[tuple[Position, int], str]  # events the handler has refused in this batch, and why


class Record(Protocol):
    """What the loop needs of Kafka's record."""

    @property
    def offset(self) -> int: ...
    @property
    def value(self) -> bytes | None: ...


@dataclass
class Applied:
    """What the consumer has to do next: go back (or on) to these offsets; expect nothing of the stopped ones."""

    seek: dict[Position, int] = field(default_factory=dict)


@dataclass
class _Part:
    """The share of one partition in a batch."""

    move: Move
    events: list[Received]
    poison: tuple[int, str] | None = None  # offset and error of the event the partition stops at


class BatchLoop:
    """Applies batches exactly once in effect; used by one consumer of a process."""

    def __init__(
        self, pool: Pool, handler: Handler, wake: asyncio.Event, after_commit: Callable[[], None] = lambda: None
    ) -> None:
        """`wake` is set after each commit that wrote to the outbox; `after_commit` is called after every commit."""
        self._pool, self._handler, self._wake, self._after_commit = pool, handler, wake, after_commit
        self._next: dict[Position, int] = {}
        self.stopped: dict[Position, int] = {}
        self._standing: set[Position] = set()  # stopped by an earlier process, perhaps for good reason no more
        self._passed_over: set[tuple[Position, int]] = set()

    async def apply(self, records: Mapping[Position, Sequence[Record]]) -> Applied:
        """Applies the records of any number of partitions in one transaction, each at most once ever.

        Returns which partitions to seek: those whose records do not continue where the offsets in Postgres stand.
        Retries while Postgres is away; raises whatever else the handler raises.
        """
        pause_s = 0.05
        broken: Broken = {}
        while True:
            try:
                return await self._once({p: r for p, r in records.items() if p not in self.stopped and r}, broken)
            except InvariantBroken as found:
                # Its transaction is undone; the same records again, this time only up to the event it names.
                _, topic, partition, offset = found.received
                if ((topic, partition), offset) in broken or (topic, partition) not in records:
                    raise
                broken[(topic, partition), offset] = found.why
            except asyncpg.DataError as error:
                if sum(map(len, records.values())) > 1:
                    return await self._one_by_one(records)
                why = f"a value no column takes: {type(error).__name__}"  # its own words repeat the value
                broken |= {(p, record.offset): why for p, r in records.items() for record in r}
            except Exception as error:
                if not retriable(error):
                    raise
                log.warning("batch_retried", error=repr(error))
                self._next = dict.fromkeys(self._next, UNSURE)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, 2.0)

    async def _one_by_one(self, records: Mapping[Position, Sequence[Record]]) -> Applied:
        """Finds the event that brings a value no column takes: its partition stops there, the others go on."""
        applied = Applied()
        for position, found in sorted(records.items()):
            for record in found:
                applied.seek |= (await self.apply({position: [record]})).seek
        return applied

    async def positions(self, assigned: Iterable[Position]) -> dict[Position, int]:
        """Where each partition continues, read afresh; what a consumer seeks to when partitions are assigned."""
        found = await offsets.read(self._pool, assigned)
        self._next.update(found)
        self._passed_over = await quarantine.passed_over(self._pool)
        self._standing = await quarantine.standing(self._pool)
        return found

    async def resumed(self) -> dict[Position, int]:
        """The stopped partitions that an operator has set going again, with the offset to seek to."""
        if not self.stopped:
            return {}
        going = set(self.stopped) - await quarantine.standing(self._pool)
        found = await self.positions(going) if going else {}
        for position in going:  # only now: a connection lost a line above leaves them for the next call
            del self.stopped[position]
            STOPPED.labels(*map(str, position)).set(0)
        return found

    async def moved(self) -> dict[Position, int]:
        """The partitions whose offsets somebody else has moved (a replay, that put other tables in the place of ours),
        with the offset to seek to. Without a record of theirs to apply it would not show; nor would it that Postgres
        crashed, and has taken back what it had not written to disk."""
        known = {position: offset for position, offset in self._next.items() if position not in self.stopped}
        if not known:
            return {}
        found = await offsets.read(self._pool, known)
        moved = {position: offset for position, offset in found.items() if offset != known[position]}
        self._next.update(moved)
        return moved

    async def _once(self, records: Mapping[Position, Sequence[Record]], broken: Broken) -> Applied:
        unknown = [position for position in records if self._next.get(position, UNSURE) == UNSURE]
        if unknown:
            await self.positions(unknown)
        applied = Applied()
        parts = [part for position in sorted(records) if (part := await self._part(position, records, applied, broken))]
        moving = [part for part in parts if part.move.next_offset > part.move.expected]
        if moving and not await self._commit(moving):
            applied.seek |= await self.positions([part.move[:2] for part in parts])
            return applied
        for part in parts:
            if part.poison:
                await self._stop_at(part.move[:2], *part.poison)
        return applied

    async def _part(
        self, position: Position, records: Mapping[Position, Sequence[Record]], applied: Applied, broken: Broken
    ) -> _Part | None:
        expected, found = self._next[position], records[position]
        todo = _unbroken(found, expected)
        if not todo:
            if found[-1].offset >= expected:  # what lies between is still to be read
                applied.seek |= await self.positions([position])
            return None
        if found[-1].offset > todo[-1].offset:
            applied.seek[position] = todo[-1].offset + 1
        return self._decode(position, expected, todo, broken)

    def _decode(self, position: Position, expected: int, todo: Sequence[Record], broken: Broken) -> _Part:
        topic, partition = position
        events: list[Received] = []
        for record in todo:
            if (position, record.offset) in self._passed_over:
                log.warning("event_passed_over", topic=topic, partition=partition, offset=record.offset)
                continue
            if why := broken.get((position, record.offset)):
                return _Part(Move(topic, partition, expected, record.offset), events, (record.offset, why))
            try:
                events.append(Received(decode(record.value), topic, partition, record.offset))
            except UndecodableEvent as error:
                return _Part(Move(topic, partition, expected, record.offset), events, (record.offset, str(error)))
        return _Part(Move(topic, partition, expected, todo[-1].offset + 1), events)

    async def _commit(self, parts: list[_Part]) -> bool:
        outbox = Outbox()
        async with self._pool.acquire() as connection:
            transaction = connection.transaction()
            await transaction.start()
            try:
                if not await offsets.advance(connection, [part.move for part in parts]):
                    await transaction.rollback()
                    log.warning("offsets_moved_elsewhere", partitions=[part.move[:2] for part in parts])
                    return False
                reached("batch.moved")
                events = [event for part in parts for event in part.events]
                if events:
                    await self._handler(connection, events, outbox)
                reached("batch.handled")
                wrote = bool(outbox)
                await outbox.write(connection)
                reached("batch.written")
            except BaseException:
                await _rollback(transaction)
                raise
            await transaction.commit()
        reached("batch.committed")
        if wrote:
            self._wake.set()
        self._after_commit()
        for part in parts:
            position = part.move[:2]
            self._next[position] = part.move.next_offset
            EVENTS.labels(part.move.topic).inc(len(part.events))
            if position in self._standing:
                self._standing.discard(position)
                await quarantine.forget(self._pool, position, part.move.next_offset)
        return True

    async def _stop_at(self, position: Position, offset: int, error: str) -> None:
        await quarantine.record(self._pool, position, offset, error)
        self.stopped[position] = offset
        STOPPED.labels(*map(str, position)).set(1)
        log.error("partition_stopped", topic=position[0], partition=position[1], offset=offset, error=error)


def _unbroken(records: Sequence[Record], expected: int) -> list[Record]:
    """The records from `expected` on, each offset once, up to where one is missing.

    A consumer that is told to go back while some of its records wait here brings those again, behind the others.
    """
    todo: list[Record] = []
    for record in records:
        if record.offset == expected:
            todo.append(record)
            expected += 1
    return todo


async def _rollback(transaction: asyncpg.transaction.Transaction) -> None:
    # The connection may be gone, and then so is the transaction; the first error is the one to tell.
    try:
        await transaction.rollback()
    except Exception as error:
        if not retriable(error):
            raise
