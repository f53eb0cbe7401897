"""How far the clock is in the log: the newest ClockAdvanced, followed in memory by every process, without a group."""

import asyncio
from datetime import UTC, datetime

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from kernel import kafka
from kernel.errors import LogLost

from projections.wait import Waiting, WaitsFor, waits_for
from schemas.codec import UndecodableEvent, decode
from schemas.events import ClockAdvanced

log = structlog.get_logger()

TOPIC = "clock"
PLACE = TopicPartition(TOPIC, 0)
# Readings come four times a second; asking for more bytes than there are lets the broker hand them over once a second.
WAIT_MS, LEAST_BYTES = 1000, 64 * 1024
POLL_MS = 60_000  # what comes ends it at once
RETRY_S = 1.0
NEVER = datetime.min.replace(tzinfo=UTC)


class Clock:
    """`at`: the newest time that was heard of; NEVER for a topic without one, None before the topic was looked at."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self.at: datetime | None = None

    def waits_for(self, waiting: Waiting) -> WaitsFor | None:
        """Why these people wait now."""
        return waits_for(waiting, datetime.now(UTC), self.at)

    async def run(self) -> None:
        """Follows the topic for ever. While the broker is away, time stands still here as it does in scheduler."""
        while True:
            try:
                await self._follow()
            except (KafkaError, LogLost, OSError) as error:
                log.warning("clock_interrupted", error=repr(error))
                await asyncio.sleep(RETRY_S)

    async def _follow(self) -> None:
        await kafka.describe(self._bootstrap, [TOPIC])
        async with kafka.follower(self._bootstrap, "projections-clock", "latest", WAIT_MS, LEAST_BYTES) as consumer:
            # Asked before it fetches: it would answer behind a long poll.
            beginning = (await consumer.beginning_offsets([PLACE]))[PLACE]
            end = (await consumer.end_offsets([PLACE]))[PLACE]
            consumer.assign([PLACE])
            consumer.seek(PLACE, max(beginning, end - 1))
            if beginning == end:
                self._hear(NEVER)
            while True:
                await self._read(consumer)

    async def _read(self, consumer: AIOKafkaConsumer) -> None:
        for records in (await consumer.getmany(PLACE, timeout_ms=POLL_MS)).values():
            try:
                event = decode(records[-1].value)
            except UndecodableEvent as error:  # scheduler stops there and raises the alarm
                log.warning("clock_undecodable", error=str(error))
                continue
            if isinstance(event, ClockAdvanced):
                self._hear(event.at)

    def _hear(self, at: datetime) -> None:
        self.at = max(at, self.at or NEVER)
