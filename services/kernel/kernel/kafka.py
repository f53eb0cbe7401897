"""What the services ask of Kafka beyond producing and consuming: topic ids, end offsets, one way to make a producer."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from io import BytesIO
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

from kernel.errors import LogLost
from kernel.offsets import Position

# aiokafka asks once which partitions a topic has. If the broker is away just then, the group's leader deals out none,
# and nobody asks again for this long: the 5 minutes it has by default are how long every message would wait.
METADATA_AGE_MS = 2000


class _Uuid:
    """Kafka's uuid on the wire, which aiokafka has no type for."""

    @classmethod
    def encode(cls, value: uuid.UUID) -> bytes:
        return value.bytes

    @classmethod
    def decode(cls, data: BytesIO) -> uuid.UUID:
        return uuid.UUID(bytes=data.read(16))

    @classmethod
    def repr(cls, value: uuid.UUID) -> str:
        return str(value)


class _MetadataResponseV12(Response):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 12
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("topic", CompactString("utf-8")),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _MetadataRequestV12(RequestStruct):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 12
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _MetadataResponseV12
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(("topic_id", _Uuid), ("topic", CompactString("utf-8")), ("tags", TaggedFields)),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _TopicIdsRequest(Request[_MetadataRequestV12]):  # type: ignore[misc]
    API_KEY = 3

    def __init__(self, topics: list[str]) -> None:
        self._topics = topics

    def build(self, request_struct_class: type[_MetadataRequestV12]) -> _MetadataRequestV12:
        return request_struct_class([(uuid.UUID(int=0), topic, {}) for topic in self._topics], False, False, {})


async def cluster_id(bootstrap: str) -> str:
    """Kafka's id of the cluster, which was made with it and does not change."""
    return str((await _metadata(bootstrap, [])).cluster_id)


async def _metadata(bootstrap: str, topics: list[str]) -> Any:
    client = AIOKafkaClient(bootstrap_servers=bootstrap, client_id="handsent-describe")
    await client.bootstrap()
    try:
        return await client.send(client.get_random_node(), _TopicIdsRequest(topics))
    finally:
        await client.close()


async def describe(bootstrap: str, topics: Iterable[str]) -> tuple[dict[str, str], dict[str, int]]:
    """(topic -> Kafka's id of it, topic -> number of partitions). Raises LogLost for a topic that does not exist."""
    answer = await _metadata(bootstrap, sorted(topics))
    ids: dict[str, str] = {}
    partitions: dict[str, int] = {}
    for error_code, topic, topic_id, _internal, found, *_ in answer.topics:
        if error_code:
            raise LogLost(f"topic {topic} cannot be described (Kafka's error {error_code}): make the topics first")
        ids[topic], partitions[topic] = str(topic_id), len(found)
    return ids, partitions


async def when_there(
    bootstrap: str, topics: Iterable[str], patience_s: float = 60
) -> tuple[dict[str, str], dict[str, int]]:
    """`describe`, for a service that may start before its broker or its topics: asks until `patience_s` is over."""
    deadline = asyncio.get_running_loop().time() + patience_s
    while True:
        try:
            return await describe(bootstrap, topics)
        except (KafkaError, LogLost, OSError):
            if asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(0.25)


class Watcher:
    """Reads the ends of partitions with a consumer that never fetches (one that does answers after its long poll)."""

    def __init__(self, bootstrap: str) -> None:
        self._consumer: AIOKafkaConsumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
        self._lock = asyncio.Lock()
        self._started = False

    async def _ready(self) -> AIOKafkaConsumer:
        async with self._lock:
            if not self._started:
                await self._consumer.start()
                self._started = True
        return self._consumer

    async def ends(self, positions: Iterable[Position]) -> dict[Position, int]:
        """The offset the next record of each partition will get."""
        return await self._offsets("end_offsets", positions)

    async def beginnings(self, positions: Iterable[Position]) -> dict[Position, int]:
        """The first offset each partition still holds."""
        return await self._offsets("beginning_offsets", positions)

    async def _offsets(self, which: str, positions: Iterable[Position]) -> dict[Position, int]:
        consumer = await self._ready()
        partitions = [TopicPartition(*position) for position in positions]
        found: Mapping[TopicPartition, int] = await getattr(consumer, which)(partitions)
        return {(p.topic, p.partition): offset for p, offset in found.items()}

    async def stop(self) -> None:
        await self._consumer.stop()


async def newest(bootstrap: str, position: Position, count: int) -> list[bytes]:
    """The values of the last records of a partition, at most `count`, oldest first; none when it holds none."""
    partition = TopicPartition(*position)
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    await consumer.start()
    try:  # first and end before it fetches: a consumer that does answers behind its long poll
        first: int = (await consumer.beginning_offsets([partition]))[partition]
        end: int = (await consumer.end_offsets([partition]))[partition]
        consumer.assign([partition])
        consumer.seek(partition, max(first, end - count))
        values: list[bytes] = []
        while await consumer.position(partition) < end:
            found = await consumer.getmany(partition, timeout_ms=1000)
            values += [record.value for record in found.get(partition, [])]
        return values[-count:]
    finally:
        await consumer.stop()


def producer(bootstrap: str, client_id: str) -> AIOKafkaProducer:
    """Idempotent, acks=all: what it acknowledged is in the log once and in order. Must be started by the caller."""
    return AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        client_id=client_id,
        enable_idempotence=True,
        acks="all",
        linger_ms=0,
        max_batch_size=512 * 1024,
        max_request_size=900 * 1024,
        request_timeout_ms=20_000,
    )


@asynccontextmanager
async def follower(
    bootstrap: str, client_id: str, lost: str, wait_ms: int, least_bytes: int = 1
) -> AsyncIterator[AIOKafkaConsumer]:
    """A started consumer without a group and without partitions: the caller assigns them.

    The broker keeps a question for `wait_ms` until it has `least_bytes` to answer. `lost`, "earliest" or "latest", is
    where reading goes on when the offset it had is gone.
    """
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        client_id=client_id,
        enable_auto_commit=False,
        auto_offset_reset=lost,
        isolation_level="read_committed",
        fetch_max_wait_ms=wait_ms,
        fetch_min_bytes=least_bytes,
    )
    try:
        await consumer.start()
        yield consumer
    finally:
        try:
            await consumer.stop()
        except asyncio.CancelledError:  # what one that has just been started raises
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
