"""Reads Kafka's records as they are: no group, nothing committed, nothing disturbed."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from kernel import kafka
from kernel.partitioner import partitions_of

from handsent.log_view import Seen, seen

Position = tuple[str, int]
POLL_MS = 500


async def tail(bootstrap: str, topics: Iterable[str], beginning: bool) -> AsyncIterator[Seen]:
    """Every record from the beginning, or from now on, for ever."""
    positions = await _positions(bootstrap, topics)
    async with _consumer(bootstrap, positions) as consumer:
        await (consumer.seek_to_beginning() if beginning else consumer.seek_to_end())
        while True:
            async for record in _fetched(consumer):
                yield record


async def whole(bootstrap: str, topics: Iterable[str]) -> AsyncIterator[Seen]:
    """Every record up to the ends as they are now, partition after partition."""
    async for record in _spans(bootstrap, await _positions(bootstrap, topics), _every):
        yield record


async def at(bootstrap: str, position: Position, offset: int) -> Any | None:
    """The one raw record at the offset; None when the log no longer holds it or does not reach so far."""
    watcher = kafka.Watcher(bootstrap)
    try:
        first, end = (await watcher.beginnings([position]))[position], (await watcher.ends([position]))[position]
    finally:
        await watcher.stop()
    if not first <= offset < end:
        return None
    partition = TopicPartition(*position)
    async with _consumer(bootstrap, [position]) as consumer:
        consumer.seek(partition, offset)
        record: Any = await consumer.getone(partition)
        return record if record.offset == offset else None


async def of_key(bootstrap: str, topics: Iterable[str], key: str) -> list[Seen]:
    """Every record of this key: the partitions where Kafka's own producers put it are read from their beginning."""
    _, counts = await kafka.describe(bootstrap, topics)
    raw = key.encode()
    positions = [(topic, partitions_of([raw], count)[0]) for topic, count in counts.items()]
    return [record async for record in _spans(bootstrap, positions, lambda record: record.key == raw)]


def _every(_record: Any) -> bool:
    return True


async def _spans(bootstrap: str, positions: Iterable[Position], wanted: Callable[[Any], bool]) -> AsyncIterator[Seen]:
    """The wanted records of these partitions up to their ends as they are now, partition after partition."""
    positions, watcher = list(positions), kafka.Watcher(bootstrap)
    try:
        beginnings, ends = await watcher.beginnings(positions), await watcher.ends(positions)
    finally:
        await watcher.stop()
    for position in positions:
        if beginnings[position] < ends[position]:
            async for record in _span(bootstrap, position, beginnings[position], ends[position], wanted):
                yield record


async def _span(
    bootstrap: str, position: Position, first: int, end: int, wanted: Callable[[Any], bool]
) -> AsyncIterator[Seen]:
    partition = TopicPartition(*position)
    async with _consumer(bootstrap, [position]) as consumer:
        consumer.seek(partition, first)
        while await consumer.position(partition) < end:
            async for record in _fetched(consumer, wanted):
                if record.offset < end:
                    yield record


async def _positions(bootstrap: str, topics: Iterable[str]) -> list[Position]:
    _, partitions = await kafka.describe(bootstrap, topics)
    return [(topic, partition) for topic in sorted(partitions) for partition in range(partitions[topic])]


@asynccontextmanager
async def _consumer(bootstrap: str, positions: Iterable[Position]) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, enable_auto_commit=False, isolation_level="read_committed", client_id="handsent"
    )
    await consumer.start()
    try:
        consumer.assign([TopicPartition(*position) for position in positions])
        yield consumer
    finally:
        with suppress(asyncio.CancelledError):  # aiokafka's, of one that is stopped right after its start
            await consumer.stop()


async def _fetched(consumer: AIOKafkaConsumer, wanted: Callable[[Any], bool] = _every) -> AsyncIterator[Seen]:
    """The records of one fetch that are wanted, oldest first over its partitions; the others are not decoded."""
    fetched: Mapping[TopicPartition, list[Any]] = await consumer.getmany(timeout_ms=POLL_MS)
    records = [record for found in fetched.values() for record in found if wanted(record)]
    for r in sorted(records, key=lambda r: (r.timestamp, r.topic, r.partition, r.offset)):
        yield seen(r.topic, r.partition, r.offset, r.timestamp, r.key, r.value)
