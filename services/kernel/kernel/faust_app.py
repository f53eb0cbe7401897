"""Faust's consumer groups, agents and lifecycle, with the offsets in Postgres.

Faust's own commits can pass a message in flight and its tables cannot share our transaction, so its transport is told
to seek where Postgres says, to commit nothing to Kafka, and to hand an agent one batch of one partition as one event
(two orders of magnitude faster than a record at a time).
"""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Iterable
from typing import Any

import faust
import structlog
from faust.serializers.schemas import Schema
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport
from faust.types.tuples import ConsumerMessage
from mode import Service
from mode.utils.futures import notify

from kernel.batch import BatchLoop
from kernel.errors import retriable
from kernel.kafka import METADATA_AGE_MS
from kernel.offsets import Position

log = structlog.get_logger()

BATCH_RECORDS = 500
# How long the broker may think when nothing is there; what arrives is answered at once. Faust hard-codes 1500, which
# a partition left out of a fetch (its agent was slow) waits for; 100 would cost the idle stack 4 % of a core.
FETCH_WAIT_MS = 500
SESSION_TIMEOUT_S = 6.0  # after a kill -9 the group waits so long; 6 is the least brokers allow by default
STOPPED_POLL_S = 2.0
MOST_WAITING = 1000  # records of one partition
LINGER_S = 0.02  # busy: batches begin so far apart and carry more; idle: the first one does not wait


class _PassThrough(Schema):  # type: ignore[misc]
    """Key and value as they are: the batch loop decodes."""

    def loads_key(self, app: Any, message: Any, *, loads: Any = None, serializer: Any = None) -> Any:
        return message.key

    def loads_value(self, app: Any, message: Any, *, loads: Any = None, serializer: Any = None) -> Any:
        return message.value


class _ConsumerThread(AIOKafkaConsumerThread):  # type: ignore[misc]
    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        consumer._isolation_level = "read_committed"
        return consumer

    async def seek_owned(self, offsets: dict[Position, int]) -> None:
        """Runs in the consumer's thread; a partition that is no longer ours is left alone."""
        consumer = self._ensure_consumer()
        for partition in consumer.assignment():
            if (partition.topic, partition.partition) in offsets:
                consumer.seek(partition, offsets[partition.topic, partition.partition])


class _Forgetful(dict[Any, None]):
    """Faust's memory of what it has delivered, by which it drops what it is given again. After a seek back that would
    be what we want: of a slice it knows the last offset alone, and the first it let through would be behind a gap."""

    def __getitem__(self, tp: Any) -> None:
        return None

    def __setitem__(self, tp: Any, offset: Any) -> None:
        pass

    def update(self, *_: Any, **__: Any) -> None:
        pass


class _OffsetAuthority(Consumer):  # type: ignore[misc]
    """A consumer whose positions come from Postgres and go nowhere else."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._read_offset = _Forgetful()

    def _new_consumer_thread(self) -> Any:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def seek_to_committed(self) -> Any:
        """Called by Faust after each assignment."""
        assigned = set(self.assignment())  # which may be another one by the time that Postgres has answered
        positions = await self.app.batch_loop.positions((tp.topic, tp.partition) for tp in assigned)
        await self.seek_owned(positions)
        return {tp: positions[tp.topic, tp.partition] for tp in assigned}

    async def seek_owned(self, offsets: dict[Position, int]) -> None:
        await self._thread.call_thread(self._thread.seek_owned, offsets)

    async def commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        return False

    async def force_commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        return False

    async def _add_gap(self, tp: Any, offset_from: int, offset_to: int) -> None:
        """No bookkeeping of acknowledgements: Postgres knows."""

    def ack(self, message: Any) -> bool:
        if message.acked:
            return False
        message.acked = True
        self._unacked_messages.discard(message)
        notify(self._waiting_for_ack)
        return True

    def verify_event_path(self, now: float, tp: Any) -> None:
        """No alarm about commits that never come."""

    def on_buffer_full(self, tp: Any) -> None:
        """A blocking put is the back-pressure; Faust's own would sleep for a second."""

    def on_buffer_drop(self, tp: Any) -> None:
        """See `on_buffer_full`."""

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[Any, ConsumerMessage]]:
        """Yields (partition, message) where the message's value is a list of up to BATCH_RECORDS records."""
        records, active = await self._wait_next_records(timeout)
        generation = self.app.consumer_generation_id
        if records is None or self.should_stop:
            return
        if not self.flow_active:
            await self.perform_seek()
            return
        for tp, found in records.items():
            for start in range(0, len(found), BATCH_RECORDS):
                if not self.flow_active or self.app.consumer_generation_id != generation:
                    return
                if active is None or tp in active:
                    yield tp, _as_message(tp, found[start : start + BATCH_RECORDS], generation)


def _as_message(tp: Any, records: list[Any], generation: int) -> ConsumerMessage:
    last = records[-1]
    stamp = last.timestamp / 1000.0
    return ConsumerMessage(
        last.topic, last.partition, last.offset, stamp, last.timestamp_type, (), None, records, None, 0, 0, tp,
        generation_id=generation,
    )  # fmt: skip


class _Transport(Transport):  # type: ignore[misc]
    Consumer = _OffsetAuthority


class OffsetAuthorityApp(faust.App):  # type: ignore[misc]
    """A `faust.App` whose batches go to a BatchLoop."""

    batch_loop: BatchLoop
    inbox: "_Inbox"

    def on_init_dependencies(self) -> list[Any]:
        return [*super().on_init_dependencies(), self.inbox]

    def _new_transport(self) -> Any:
        return _Transport(self.conf.broker_consumer, self)


def build_app(service: str, bootstrap: str, topics: Iterable[str], loop: BatchLoop) -> OffsetAuthorityApp:
    """An app with one agent per topic, each handing its batches to `loop`."""
    app = OffsetAuthorityApp(
        f"handsent-{service}",
        broker=";".join(f"kafka://{server}" for server in bootstrap.split(",")),
        datadir=tempfile.mkdtemp(prefix=f"handsent-{service}-"),  # Faust makes one; nothing is kept in it
        autodiscover=False,
        web_enabled=False,  # it would serve without authentication
        topic_disable_leader=True,
        topic_allow_declare=False,
        stream_buffer_maxsize=16,  # batches
        broker_session_timeout=SESSION_TIMEOUT_S,
        broker_heartbeat_interval=SESSION_TIMEOUT_S / 3,
        broker_max_poll_records=4000,
        consumer_max_fetch_size=1024 * 1024,
        consumer_metadata_max_age_ms=METADATA_AGE_MS,
        consumer_auto_offset_reset="earliest",
        stream_wait_empty=False,
    )
    app.batch_loop = loop
    inbox = _Inbox(app, loop)
    for topic in topics:
        _add_agent(app, topic, inbox)
    app.inbox = inbox
    return app


def _add_agent(app: OffsetAuthorityApp, topic: str, inbox: "_Inbox") -> None:
    async def agent(stream: Any) -> None:
        async for records in stream:
            await inbox.put((records[0].topic, records[0].partition), records)

    channel = app.topic(topic, schema=_PassThrough(key_type=None, value_type=None))
    app.agent(channel, name=f"{app.conf.id}-{topic}")(agent)


class _Inbox(Service):  # type: ignore[misc]
    """What the agents were handed, of all partitions, until the batch loop takes it in one transaction.

    A batch may be lost here without harm (the partition stands still, was taken from us, the process dies):
    Postgres has not moved, and the seek that follows reads it again.
    """

    def __init__(self, app: OffsetAuthorityApp, loop: BatchLoop) -> None:
        super().__init__()
        self._app, self._batches = app, loop
        self._waiting: dict[Position, list[Any]] = {}
        self._filled, self._emptied = asyncio.Event(), asyncio.Event()

    async def put(self, position: Position, records: list[Any]) -> None:
        """Returns once there is room: the agent, its stream and the fetches behind it wait with us."""
        while len(self._waiting.get(position, ())) >= MOST_WAITING:
            self._emptied.clear()
            await self._emptied.wait()
        if position not in self._batches.stopped:
            self._waiting.setdefault(position, []).extend(records)
            self._filled.set()

    @Service.task  # type: ignore[untyped-decorator]
    async def _work(self) -> None:
        try:
            while not self.should_stop:
                await self._filled.wait()
                began = time.monotonic()
                await self._apply()
                await asyncio.sleep(max(0.0, began + LINGER_S - time.monotonic()))
        except Exception as error:
            await self._app.crash(error)
            raise

    async def _apply(self) -> None:
        records, self._waiting = self._waiting, {}
        self._filled.clear()
        self._emptied.set()
        applied = await self._batches.apply(records)
        if applied.seek:
            await self._app.consumer.seek_owned(applied.seek)

    @Service.task  # type: ignore[untyped-decorator]
    async def _resume(self) -> None:
        while not self.should_stop:
            await self.sleep(STOPPED_POLL_S)
            try:
                going = await self._batches.resumed()
            except Exception as error:
                if not retriable(error):
                    raise
                continue
            if going:
                await self._app.consumer.seek_owned(going)
