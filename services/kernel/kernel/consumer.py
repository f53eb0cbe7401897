"""A plain aiokafka consumer over the batch loop: several partitions in one transaction (the projections' way)."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener

from kernel.batch import BatchLoop
from kernel.errors import retriable
from kernel.kafka import METADATA_AGE_MS
from kernel.offsets import Position

log = structlog.get_logger()

BATCH_RECORDS = 2000
POLL_MS = 1000
LOOK_S = 1.0  # whether the offsets in Postgres are still ours
SESSION_TIMEOUT_S = 6.0  # as in `faust_app`


async def consume(service: str, bootstrap: str, topics: Iterable[str], loop: BatchLoop) -> None:
    """Feeds the loop for ever; raises what the loop raises."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=f"handsent-{service}",
        client_id=service,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        fetch_max_wait_ms=500,
        max_partition_fetch_bytes=1024 * 1024,
        session_timeout_ms=int(SESSION_TIMEOUT_S * 1000),
        heartbeat_interval_ms=int(SESSION_TIMEOUT_S * 300),
        metadata_max_age_ms=METADATA_AGE_MS,
    )
    consumer.subscribe(list(topics), listener=_SeekToPostgres(consumer, loop))
    await consumer.start()
    now = asyncio.get_running_loop().time
    looked_at = now()
    try:
        while True:
            await _one_batch(consumer, loop)
            if now() - looked_at >= LOOK_S:
                _seek(consumer, await _if_there(loop.moved))
                looked_at = now()
    finally:
        await consumer.stop()


async def _one_batch(consumer: AIOKafkaConsumer, loop: BatchLoop) -> None:
    found = await consumer.getmany(timeout_ms=POLL_MS, max_records=BATCH_RECORDS)
    records: dict[Position, Any] = {(tp.topic, tp.partition): batch for tp, batch in found.items()}
    applied = await loop.apply(records) if records else None
    _seek(consumer, {**(applied.seek if applied else {}), **await _if_there(loop.resumed)})


async def _if_there(asked: Callable[[], Awaitable[dict[Position, int]]]) -> dict[Position, int]:
    try:
        return await asked()
    except Exception as error:
        if not retriable(error):
            raise
        return {}  # asked again after the next batch


def _seek(consumer: AIOKafkaConsumer, offsets: dict[Position, int]) -> None:
    owned = consumer.assignment()
    for position, offset in offsets.items():
        if TopicPartition(*position) in owned:
            consumer.seek(TopicPartition(*position), offset)


class _SeekToPostgres(ConsumerRebalanceListener):  # type: ignore[misc]
    """After each assignment the consumer continues where Postgres says."""

    def __init__(self, consumer: AIOKafkaConsumer, loop: BatchLoop) -> None:
        self._consumer, self._loop = consumer, loop

    async def on_partitions_revoked(self, revoked: Any) -> None:
        """Nothing to hand over: the offsets moved with their effect."""

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        positions = await self._where([(tp.topic, tp.partition) for tp in assigned])
        for position, offset in positions.items():
            self._consumer.seek(TopicPartition(*position), offset)
        log.info("partitions_assigned", partitions=len(positions))

    async def _where(self, assigned: list[Position]) -> dict[Position, int]:
        # aiokafka only logs what a listener raises, and would then read the log from its beginning.
        while True:
            try:
                return await self._loop.positions(assigned)
            except Exception as error:
                if not retriable(error):
                    raise
                log.warning("positions_retried", error=repr(error))
                await asyncio.sleep(0.5)
