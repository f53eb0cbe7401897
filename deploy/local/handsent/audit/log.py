"""Kafka's records as an audit reads them: whole, in the order of their offsets, one partition after another."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple

import click
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import CorruptRecordException, KafkaError
from kernel import kafka
from kernel.errors import LogLost

from handsent.audit.framing import Position
from schemas.topics import FOR_EVER, TOPICS

POLL_MS = 1000
PATIENCE_S = 30.0
FETCH_BYTES = 2 * 1024 * 1024
# What Kafka deletes by itself cannot be held against what it was.
KEPT = tuple(sorted(topic.name for topic in TOPICS.values() if topic.retention_ms == FOR_EVER))


class Unreadable(click.ClickException):
    """It cannot be checked or made at all; ends a command with 2."""

    exit_code = 2


class Corrupt(LogLost):
    """From this offset on, the records do not even match Kafka's own checksums."""

    def __init__(self, position: Position, offset: int) -> None:
        self.position = position
        place = f"{position[0]}-{position[1]}"
        super().__init__(f"{place}: the records from offset {offset} on do not match Kafka's own checksums")


class Cluster(NamedTuple):
    """Which log this is, and where each partition begins and ends."""

    id: str
    topic_ids: dict[str, str]
    beginnings: dict[Position, int]
    ends: dict[Position, int]


async def cluster(bootstrap: str, topics: Iterable[str]) -> Cluster:
    topics = list(topics)
    ids, partitions = await kafka.describe(bootstrap, topics)
    positions = [(topic, partition) for topic in topics for partition in range(partitions[topic])]
    watcher = kafka.Watcher(bootstrap)
    try:
        beginnings, ends = await watcher.beginnings(positions), await watcher.ends(positions)
    finally:
        await watcher.stop()
    in_order = {position: ends[position] for position in positions}
    return Cluster(await kafka.cluster_id(bootstrap), ids, beginnings, in_order)


class Reader:
    """Reads one span after another with one consumer."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer

    async def span(self, position: Position, first: int, end: int) -> AsyncIterator[list[Any]]:
        """The records of these offsets, as many at a time as Kafka hands out. They must be there; Kafka may leave
        offsets out. Raises Corrupt, and LogLost when nothing comes."""
        if first >= end:
            return  # aiokafka, stopped right after an assignment, may notice no sooner than a request times out
        partition = TopicPartition(*position)
        self._consumer.assign([partition])
        self._consumer.seek(partition, first)
        at = first
        while at < end:
            try:
                async with asyncio.timeout(PATIENCE_S):
                    records, at = await self._next(partition, at)
            except TimeoutError:
                raise LogLost(f"{position[0]}-{position[1]} gives nothing from offset {at} on") from None
            if records:
                yield records if records[-1].offset < end else [r for r in records if r.offset < end]

    async def _next(self, partition: TopicPartition, at: int) -> tuple[list[Any], int]:
        while True:
            try:
                found = await self._consumer.getmany(partition, timeout_ms=POLL_MS)
            except CorruptRecordException:
                raise Corrupt((partition.topic, partition.partition), at) from None
            reached = await self._consumer.position(partition)
            if reached > at:
                return found.get(partition, []), reached


@asynccontextmanager
async def reader(bootstrap: str) -> AsyncIterator[Reader]:
    """Sees what the services see: nothing of transactions that were not committed."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        client_id="handsent-audit",
        enable_auto_commit=False,
        auto_offset_reset="none",
        isolation_level="read_committed",
        max_partition_fetch_bytes=FETCH_BYTES,
        fetch_max_wait_ms=20,  # nothing new is waited for: at an end, each would hold up the next partition
    )
    try:
        await consumer.start()
        yield Reader(consumer)
    finally:
        with suppress(asyncio.CancelledError):  # aiokafka's, of one that is stopped right after its start
            await consumer.stop()


def run(work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Runs it; a Kafka that does not answer, or not as it should, is one line and exit code 2."""
    try:
        return asyncio.run(work())
    except Corrupt as error:
        raise click.ClickException(str(error)) from None
    except (KafkaError, LogLost) as error:
        raise Unreadable(f"Kafka does not answer as it should: {error}") from None
