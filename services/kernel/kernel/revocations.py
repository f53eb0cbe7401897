"""Which tokens were ended before their time: the topic `access`, read whole and then followed, in every process.

A token is verified without asking anybody, so its end must come to those who verify. There is no consumer group: each
process reads all partitions from their beginning, and answers no caller before it has done so once.
"""

import asyncio
import time

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from prometheus_client import Gauge

from kernel import kafka
from kernel.errors import LogLost
from schemas.codec import UndecodableEvent, decode
from schemas.events import TokenRevoked

log = structlog.get_logger()

TOPIC = "access"
POLL_MS = 1000
FIRST_POLL_MS = 20  # not zero, which never lets the event loop run
LONG_POLL_MS = 5000  # an event ends the wait at once; without one, an idle service asks twelve times a minute
RETRY_S = 1.0
PRUNE_S = 60.0
REMEMBERED = Gauge("handsent_revoked_tokens", "Ended tokens that are refused until they expire")


class Revocations:
    """The ids of ended tokens. `known` once the whole topic has been read; from then on it is followed."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._until: dict[str, float] = {}
        self._pruned_at = 0.0
        self.known = False

    def __contains__(self, token_id: object) -> bool:
        return token_id in self._until

    def add(self, token_id: str, expires_at: float) -> None:
        """Refuses the token from now on; it need not be remembered beyond `expires_at` (seconds since 1970)."""
        if expires_at > time.time():
            self._until[token_id] = expires_at

    def prune(self) -> None:
        """Forgets those that have expired anyway."""
        now = time.time()
        self._until = {token_id: until for token_id, until in self._until.items() if until > now}
        REMEMBERED.set(len(self._until))

    async def run(self) -> None:
        """Reads and follows the topic for ever. While the broker is away, what is known stays known."""
        while True:
            try:
                await self._follow()
            except (KafkaError, LogLost, OSError) as error:
                log.warning("revocations_interrupted", error=repr(error))
                await asyncio.sleep(RETRY_S)

    async def _follow(self) -> None:
        _, partitions = await kafka.describe(self._bootstrap, [TOPIC])
        places = [TopicPartition(TOPIC, number) for number in range(partitions[TOPIC])]
        async with kafka.follower(self._bootstrap, "revocations", "earliest", LONG_POLL_MS) as consumer:
            ends = await consumer.end_offsets(places)  # asked before it fetches: it would answer behind a long poll
            consumer.assign(places)
            await consumer.seek_to_beginning(*places)
            while True:
                await self._read(consumer)
                if not self.known and all([await consumer.position(place) >= end for place, end in ends.items()]):
                    self.known = True
                    log.info("revocations_known", tokens=len(self._until))

    async def _read(self, consumer: AIOKafkaConsumer) -> None:
        found = await consumer.getmany(timeout_ms=POLL_MS if self.known else FIRST_POLL_MS)
        for records in found.values():
            for record in records:
                self._hear(record.value)
        if time.monotonic() - self._pruned_at > PRUNE_S:
            self._pruned_at = time.monotonic()
            self.prune()

    def _hear(self, value: bytes | None) -> None:
        try:
            event = decode(value)
        except UndecodableEvent as error:  # a later version's event: what it says, this process cannot know
            log.error("revocation_undecodable", error=str(error))
            return
        if isinstance(event, TokenRevoked):
            self.add(event.token_id, event.expires_at.timestamp())
