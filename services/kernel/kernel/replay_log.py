"""The topics, read once more: spans of partitions, from their beginning, without a group."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple, Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition

from kernel.errors import LogLost
from kernel.offsets import Position

BATCH_RECORDS = 5000
POLL_MS = 1000
PATIENCE_S = 30.0


class Record(Protocol):
    """What a fold needs of Kafka's record, or of one that is still in the outbox."""

    @property
    def offset(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...


Records = Mapping[Position, Sequence[Record]]


class Span(NamedTuple):
    """The offsets `first` to before `until` of a partition."""

    first: int
    until: int


async def read(
    bootstrap: str,
    spans: Mapping[Position, Span],
    apply: Callable[[Records], Awaitable[None]],
    stopped: Callable[[], Collection[Position]],
) -> None:
    """Hands all records of the spans to `apply`, each partition's in order; no more of a partition that is `stopped`.

    Raises LogLost when the log has a gap, TimeoutError when Kafka is silent for `PATIENCE_S`.
    """
    reading = {position for position, span in spans.items() if span.first < span.until}
    if not reading:
        return
    async with _consumer(bootstrap, {position: spans[position].first for position in reading}) as consumer:
        expected = {position: spans[position].first for position in reading}
        while reading:
            records = await _fetched(consumer, spans)
            _check(records, expected)
            await apply(records)
            done = {p for p, found in records.items() if found[-1].offset + 1 >= spans[p].until}
            done |= reading & set(stopped())
            consumer.pause(*(TopicPartition(*position) for position in done & reading))
            reading -= done


def _check(records: Records, expected: dict[Position, int]) -> None:
    """No event is passed over unseen: neither compaction nor transactions leave gaps in our topics."""
    for (topic, partition), found in records.items():
        first = expected[topic, partition]
        if found[0].offset != first or found[-1].offset != first + len(found) - 1:
            raise LogLost(f"the log has a gap: {topic}-{partition} behind offset {first}")
        expected[topic, partition] = found[-1].offset + 1


async def _fetched(consumer: AIOKafkaConsumer, spans: Mapping[Position, Span]) -> Records:
    """The next records of the spans. Raises TimeoutError when Kafka has none, though they must be there."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            found = await consumer.getmany(timeout_ms=POLL_MS, max_records=BATCH_RECORDS)
            records = {
                (tp.topic, tp.partition): [r for r in batch if r.offset < spans[tp.topic, tp.partition].until]
                for tp, batch in found.items()
            }
            if any(records.values()):
                return {position: batch for position, batch in records.items() if batch}


@asynccontextmanager
async def _consumer(bootstrap: str, starts: Mapping[Position, int]) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        client_id="handsent-replay",
        enable_auto_commit=False,
        auto_offset_reset="none",
        isolation_level="read_committed",
        max_partition_fetch_bytes=1024 * 1024,
    )
    await consumer.start()
    try:
        consumer.assign([TopicPartition(*position) for position in starts])
        for position, offset in starts.items():
            consumer.seek(TopicPartition(*position), offset)
        yield consumer
    finally:
        with suppress(asyncio.CancelledError):  # aiokafka's, of one that is stopped right after its start
            await consumer.stop()
