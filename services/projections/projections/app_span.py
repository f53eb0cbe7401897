"""Spans of the log, read exactly: from an offset of each partition up to another, without a group."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from kernel.errors import LogLost
from kernel.offsets import Position

POLL_MS = 1000
PATIENCE_S = 30.0  # Kafka has what is asked for: it was read before


class Reader:
    """Where the reading stands, and what comes next."""

    def __init__(self, consumer: AIOKafkaConsumer, starts: Mapping[Position, int]) -> None:
        self._consumer = consumer
        self.next = dict(starts)
        self._read_up_to: dict[Position, int] = dict.fromkeys(starts, 0)  # time of the last record
        self._awake: set[Position] = set()

    async def some(self, until: Mapping[Position, int], most: int) -> dict[Position, list[Any]]:
        """The next records before `until`, of any partitions; none when all was read. Raises TimeoutError, LogLost."""
        left = {position for position, end in until.items() if self.next[position] < end}
        return await self._fetched(left, left, until, most) if left else {}

    async def oldest(self, until: Mapping[Position, int], most: int) -> dict[Position, list[Any]]:
        """The same, of the partition that is the furthest back in time: what happened together comes together."""
        left = {position for position, end in until.items() if self.next[position] < end}
        if not left:
            return {}
        return await self._fetched({min(left, key=self._read_up_to.__getitem__)}, left, until, most)

    async def _fetched(
        self, wanted: set[Position], left: set[Position], until: Mapping[Position, int], most: int
    ) -> dict[Position, list[Any]]:
        self._only(left)
        partitions = [TopicPartition(*position) for position in wanted]
        async with asyncio.timeout(PATIENCE_S):
            while not (found := await self._consumer.getmany(*partitions, timeout_ms=POLL_MS, max_records=most)):
                pass
        records = {}
        for partition, batch in found.items():
            position = (partition.topic, partition.partition)
            records[position] = self._taken(position, batch, until[position])
        return {position: batch for position, batch in records.items() if batch}

    def _taken(self, position: Position, batch: Sequence[Any], end: int) -> list[Any]:
        if batch[0].offset != self.next[position]:
            raise LogLost(f"the log has a gap: {position[0]}-{position[1]}@{self.next[position]}")
        taken = [record for record in batch if record.offset < end] if batch[-1].offset >= end else list(batch)
        if len(taken) < len(batch):  # the rest is asked for again when `until` has moved on
            self._consumer.seek(TopicPartition(*position), end)
        self.next[position] = taken[-1].offset + 1 if taken else self.next[position]
        self._read_up_to[position] = batch[-1].timestamp
        return taken

    def _only(self, awake: set[Position]) -> None:
        """A partition that is not read would keep an answer about the others waiting."""
        if asleep := self._awake - awake:
            self._consumer.pause(*(TopicPartition(*position) for position in asleep))
        if woken := awake - self._awake:
            self._consumer.resume(*(TopicPartition(*position) for position in woken))
        self._awake = set(awake)


@asynccontextmanager
async def reader(bootstrap: str, starts: Mapping[Position, int]) -> AsyncIterator[Reader]:
    """Reads these partitions, each from its offset on."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        client_id="projections-run",
        enable_auto_commit=False,
        auto_offset_reset="none",
        isolation_level="read_committed",
        max_partition_fetch_bytes=4 * 1024 * 1024,
        fetch_max_wait_ms=100,
    )
    await consumer.start()
    try:
        partitions = [TopicPartition(*position) for position in starts]
        consumer.assign(partitions)
        consumer.pause(*partitions)
        for partition in partitions:
            consumer.seek(partition, starts[partition.topic, partition.partition])
        yield Reader(consumer, starts)
    finally:
        with suppress(asyncio.CancelledError):  # aiokafka's, of one that is stopped right after its start
            await consumer.stop()
