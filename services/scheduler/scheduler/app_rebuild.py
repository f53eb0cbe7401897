"""A schema that was made anew: who had left already is known from our own topic, before anything else is read."""

import asyncio

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from kernel.database import Pool, connect
from kernel.errors import LogLost
from kernel.kafka import Watcher, describe

from scheduler.store import q

log = structlog.get_logger()

OWN, INPUT = "releases", "processed"
LOCK = "SELECT pg_try_advisory_lock(hashtextextended('handsent.rebuild.scheduler', 0))"


async def rebuild(database_url: str, pool: Pool, bootstrap: str) -> None:
    """Reads `releases` to its end, once in the life of a schema; returns at once when that was done.

    From then on the usual way is enough: `processed` is read from its beginning, and whoever has left is not held or
    let go again. Several instances that start at once wait for the one that reads. Raises LogLost when `releases` no
    longer begins at its beginning: who had left could not be known.
    """
    session = await connect(database_url, "scheduler")
    try:
        while not await session.fetchval(LOCK):
            await asyncio.sleep(0.25)
        if not await session.fetchval(q.has_folded):
            await _fold(pool, bootstrap)
    finally:
        await session.close()


async def _fold(pool: Pool, bootstrap: str) -> None:
    _, partitions = await describe(bootstrap, (OWN, INPUT))
    positions = {topic: [(topic, p) for p in range(count)] for topic, count in partitions.items()}
    watcher = Watcher(bootstrap)
    try:
        if any((await watcher.beginnings(positions[OWN])).values()):
            raise LogLost(f"the beginning of {OWN} was deleted: who has left cannot be known")
        ends = await watcher.ends(positions[OWN])
        known = await _read(pool, bootstrap, {TopicPartition(*at): end for at, end in ends.items() if end})
        # Whoever left was SENT before: beyond these offsets of `processed` is nobody that has been read of.
        ends |= await watcher.ends(positions[INPUT])
    finally:
        await watcher.stop()
    topics, numbers = [topic for topic, _ in ends], [partition for _, partition in ends]
    await pool.execute(q.fold, topics, numbers, list(ends.values()))
    log.info("own_output_folded", messages=known)


async def _read(pool: Pool, bootstrap: str, ends: dict[TopicPartition, int]) -> int:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, enable_auto_commit=False, isolation_level="read_committed",
        auto_offset_reset="none", client_id="scheduler-rebuild",
    )  # fmt: skip
    known = 0
    if not ends:
        return known
    await consumer.start()
    try:
        consumer.assign(list(ends))
        for partition in ends:
            consumer.seek(partition, 0)
        unread = set(ends)
        while unread:
            found = await consumer.getmany(timeout_ms=1000, max_records=10_000)
            keys = [record.key.decode() for records in found.values() for record in records]
            await pool.execute(q.add_gone, keys)
            known += len(keys)
            unread = {partition for partition in unread if await consumer.position(partition) < ends[partition]}
    finally:
        await consumer.stop()
    return known


async def forget_gone(pool: Pool) -> None:
    """Frees the memory of who had left, when all that it kept from leaving again has been read."""
    if await pool.fetchval(q.is_rebuilt):
        await pool.execute("TRUNCATE gone")
        log.info("rebuilt")
