"""Single events read back from Kafka by their offsets."""

import asyncio
from collections.abc import Iterable

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from projections.timeline import Place
from schemas.codec import decode
from schemas.events import Event

log = structlog.get_logger()

PATIENCE_S = 5.0


class LogUnavailable(Exception):
    """Kafka did not answer in time."""


class EventLog:
    """One consumer without a group, kept open; it fetches for one reader at a time."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._lock = asyncio.Lock()
        self._consumer: AIOKafkaConsumer | None = None

    async def read(self, places: Iterable[Place]) -> list[Event]:
        """The events at these places. Raises LogUnavailable."""
        ordered = sorted(set(places), key=lambda place: place[1:])
        try:
            async with asyncio.timeout(PATIENCE_S), self._lock:
                return await self._fetch_or_forget(ordered)
        except (TimeoutError, KafkaError, OSError) as error:
            log.warning("log_unavailable", error=repr(error))
            raise LogUnavailable from error

    async def _fetch_or_forget(self, ordered: list[Place]) -> list[Event]:
        """A consumer that was interrupted is not used again."""
        try:
            return await self._fetch(ordered)
        except BaseException:
            await self.stop()
            raise

    async def _fetch(self, ordered: list[Place]) -> list[Event]:
        consumer = await self._started()
        found = []
        for place in ordered:
            partition = TopicPartition(place.topic, place.partition)
            consumer.assign([partition])  # alone: beside others, each change of place costs the client's 100 ms pause
            consumer.seek(partition, place.offset)
            record = await consumer.getone(partition)
            found.append(decode(record.value))
        consumer.unsubscribe()  # or it would go on asking for more
        return [event for event, place in zip(found, ordered, strict=True) if event.event_id == place.event_id]

    async def _started(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            consumer = AIOKafkaConsumer(
                bootstrap_servers=self._bootstrap,
                client_id="projections-timeline",
                enable_auto_commit=False,
                isolation_level="read_committed",
                auto_offset_reset="none",
                max_partition_fetch_bytes=64 * 1024,
                fetch_max_wait_ms=100,
            )
            await consumer.start()
            self._consumer = consumer
        return self._consumer

    async def stop(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await consumer.stop()
