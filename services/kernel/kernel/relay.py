"""Moves a service's outbox to Kafka: one relay per service, elected by a Postgres advisory lock.

Everything the leader does to the outbox, it does on the session that holds the lock. So a relay that lost its
leadership (frozen, cut off, its session ended by Postgres) can no longer delete what the next leader has yet to see.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import NamedTuple

import asyncpg
import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.structs import RecordMetadata

from kernel import kafka
from kernel.database import connect
from kernel.errors import retriable
from kernel.offsets import Position
from kernel.outbox import unpack
from kernel.partitioner import partitions_of
from kernel.steps import reached
from schemas.codec import event_id_of, event_type_of
from schemas.topics import TOPICS

log = structlog.get_logger()

ROWS_PER_ROUND = 200
POLL_S = 1.0  # for rows whose wake-up was lost with the process that wrote them; others wake us at once
ELECTION_POLL_S = 1.0
FROZEN_AFTER = "5s"  # Postgres ends the session of a leader that says nothing for so long

# The oldest rows up to a number and a size: an import's backlog must not hold a SEND or the clock up for seconds.
OLDEST = """
SELECT seq, topic, events FROM (
    SELECT seq, topic, events, sum(octet_length(events)) OVER (ORDER BY seq) - octet_length(events) AS before FROM (
        SELECT seq, topic, events FROM outbox WHERE topic = coalesce($2, topic) ORDER BY seq LIMIT $1) oldest) sized
 WHERE before < 2000000 ORDER BY seq"""
SESSION_PING_S = 1.0
LINGER_S = 0.025  # busy: rounds begin so far apart and carry more; idle: the first event does not wait

# What leaves the outbox is in the log up to there, by the broker's own word for what it took.
DELETE = """
WITH gone AS (DELETE FROM outbox WHERE seq = ANY($1))
INSERT INTO produced AS p SELECT * FROM unnest($2::text[], $3::int[], $4::bigint[]) ORDER BY 1, 2
ON CONFLICT (topic, partition) DO UPDATE SET next_offset = greatest(p.next_offset, excluded.next_offset)"""

KeyValue = tuple[bytes | None, bytes]
Acknowledgement = asyncio.Future[RecordMetadata]
OnLead = Callable[["Leader"], Awaitable[None]]


class Relay:
    """Runs for ever in every process of a service; at most one of them moves events."""

    def __init__(
        self,
        database_url: str,
        schema: str,
        bootstrap: str,
        wake: asyncio.Event,
        on_round: OnLead | None = None,
        poll_s: float = POLL_S,
        followed: Collection[str] = (),
    ) -> None:
        """`wake` is set by whoever has committed rows. `on_round` is called after each round with the leader, at least
        every `poll_s` (send-intake's clock ticks in it). Of the topics `followed`, `produced` says how far they are."""
        self._database_url, self._schema, self._bootstrap = database_url, schema, bootstrap
        self._wake, self._on_round, self._poll_s = wake, on_round, poll_s
        self._followed = frozenset(followed)
        self._channel = f"handsent_outbox_{schema}"
        self.leading = False

    async def run(self) -> None:
        """Stands for election, leads until something breaks, stands again."""
        while True:
            try:
                await self._term()
            except Exception as error:
                if not (isinstance(error, KafkaError) or retriable(error)):
                    raise
                log.warning("relay_interrupted", error=repr(error))
                await asyncio.sleep(0.5)
            finally:
                self.leading = False

    async def _term(self) -> None:
        # The second is for one that freezes while Postgres is answering it: its session is busy then, and never idle.
        connection = await connect(
            self._database_url, self._schema, idle_session_timeout=FROZEN_AFTER, tcp_user_timeout=FROZEN_AFTER
        )
        try:
            await self._elected(connection)
            producer = kafka.producer(self._bootstrap, f"{self._schema}-relay")
            await producer.start()
            try:
                await connection.add_listener(self._channel, lambda *_: self._wake.set())
                self.leading = True
                log.info("relay_leads")
                await self._lead(Leader(connection, producer, self._followed))
            finally:
                await producer.stop()
        finally:
            await connection.close(timeout=2)

    async def _elected(self, connection: asyncpg.Connection) -> None:
        while not await connection.fetchval(
            "SELECT pg_try_advisory_lock(hashtextextended($1, 0))", f"handsent.relay.{self._schema}"
        ):
            if await self._woken(ELECTION_POLL_S):
                await connection.execute("SELECT pg_notify($1, '')", self._channel)

    async def _lead(self, leader: "Leader") -> None:
        while True:
            began = time.monotonic()
            moved = await leader.move()
            if self._on_round is not None:
                await self._on_round(leader)
            if not moved:
                await self._woken(self._poll_s)
            await asyncio.sleep(max(0.0, began + LINGER_S - time.monotonic()))

    async def _woken(self, patience_s: float) -> bool:
        """Whether somebody of this process, or of another, has said within `patience_s` that there are rows."""
        try:
            async with asyncio.timeout(patience_s):
                await self._wake.wait()
        except TimeoutError:
            return False
        self._wake.clear()
        return True


class Leader:
    """The elected relay's hands: the session that holds the lock, and the producer."""

    def __init__(
        self, connection: asyncpg.Connection, producer: AIOKafkaProducer, followed: frozenset[str] = frozenset()
    ) -> None:
        self.connection, self.producer, self._followed = connection, producer, followed

    async def move(self, topic: str | None = None) -> int:
        """Produces the oldest rows (of one topic), awaits every acknowledgement, deletes them; returns how many."""
        rows = await self.connection.fetch(OLDEST, ROWS_PER_ROUND, topic)
        if rows:
            reached("relay.read")
            records: dict[str, list[KeyValue]] = defaultdict(list)
            for row in rows:
                records[row["topic"]].extend(unpack(row["events"]))
            sent = await self._append_all(records)
            reached("relay.appended")
            await self._acknowledged(sent)
            reached("relay.produced")
            await self._delete([row["seq"] for row in rows], self._reach(sent))
            reached("relay.deleted")
        return len(rows)

    async def _delete(self, rows: list[int], reach: dict[Position, int]) -> None:
        if not reach:
            await self.connection.execute("DELETE FROM outbox WHERE seq = ANY($1)", rows)
            return
        topics, partitions = zip(*reach, strict=True)
        await self.connection.execute(DELETE, rows, topics, partitions, list(reach.values()))

    def _reach(self, sent: Iterable["_Sent"]) -> dict[Position, int]:
        """How far the partitions of the topics followed are now, as the acknowledgements say."""
        reach: dict[Position, int] = {}
        for batch in sent:
            taken = batch.acknowledgement.result()
            if taken.topic in self._followed and taken.offset >= 0:  # a repeat the broker knew is told without a place
                position = taken.topic, taken.partition
                reach[position] = max(reach.get(position, 0), taken.offset + batch.records)
        return reach

    async def produce(self, records: dict[str, list[KeyValue]]) -> None:
        """Appends (key, value) records, in order within a key; returns once all are acknowledged."""
        await self._acknowledged(await self._append_all(records))

    async def _append_all(self, records: dict[str, list[KeyValue]]) -> list["_Sent"]:
        sent: list[_Sent] = []
        for topic, pairs in records.items():
            sent += await self._append(topic, pairs)
        return sent

    async def _acknowledged(self, sent: list["_Sent"]) -> None:
        # While Kafka is away we are not frozen: the session that holds the lock must not fall silent.
        acknowledgements = [batch.acknowledgement for batch in sent]
        waiting = set(acknowledgements)
        while waiting:
            _, waiting = await asyncio.wait(waiting, timeout=SESSION_PING_S)
            if waiting:
                await self.connection.execute("SELECT 1")
        await asyncio.gather(*acknowledgements)

    async def _append(self, topic: str, pairs: list[KeyValue]) -> list["_Sent"]:
        partitions = len(await self.producer.partitions_for(topic))
        by_partition: dict[int, list[KeyValue]] = defaultdict(list)
        for partition, pair in zip(partitions_of([key for key, _ in pairs], partitions), pairs, strict=True):
            by_partition[partition].append(pair)
        sent: list[_Sent] = []
        for partition, part in by_partition.items():
            batch = self.producer.create_batch()
            for key, value in part:
                headers = _headers(topic, key, value)
                if batch.append(key=key, value=value, timestamp=None, headers=headers) is None:
                    sent.append(await self._send(batch, topic, partition))
                    batch = self.producer.create_batch()
                    batch.append(key=key, value=value, timestamp=None, headers=headers)
            sent.append(await self._send(batch, topic, partition))
        return sent

    async def _send(self, batch: BatchBuilder, topic: str, partition: int) -> "_Sent":
        records = batch.record_count()
        return _Sent(await self.producer.send_batch(batch, topic, partition=partition), records)


class _Sent(NamedTuple):
    """A batch on its way; the acknowledgement says where its first record is."""

    acknowledgement: Acknowledgement
    records: int


def _headers(topic: str, key: bytes | None, value: bytes) -> list[tuple[str, bytes]]:
    """`event-type`, and a W3C `traceparent` that makes a message's whole life one trace: its key is the trace."""
    event_id = event_id_of(value).replace("-", "")
    trace = key.decode().replace("-", "") if key is not None and TOPICS[topic].key is not None else event_id
    return [
        ("event-type", event_type_of(value).encode()),
        ("traceparent", f"00-{trace}-{event_id[:16]}-01".encode()),
    ]
