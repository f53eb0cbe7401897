"""The fold once more: the log from its beginning up to where the live tables stand, into tables of its own."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from kernel import kafka, offsets
from kernel.batch import BatchLoop
from kernel.database import Pool
from kernel.errors import LogLost
from kernel.offsets import Position

from projections import store_replay
from projections.app import TOPICS, handle
from projections.verdict import Refused, Verdict, missing

BATCH_RECORDS = 5000
POLL_MS = 1000
PATIENCE_S = 30.0


async def verify(database_url: str, bootstrap: str) -> Verdict:
    """Folds the topics again and compares. Projections goes on meanwhile, and nothing is committed anywhere.

    Raises LogLost when the log does not hold all that was folded, NotComparable, and what Kafka and Postgres raise.
    """
    now = asyncio.get_running_loop().time
    began = now()
    pool = await store_replay.open_session(database_url)
    try:
        tables, drifted = await store_replay.take(pool)
        until = await store_replay.until(pool)
        passed_over = await store_replay.passed_over(pool)
        await _check_log(pool, bootstrap, until)
        fold_began = now()
        refused = await _fold(pool, bootstrap, until)
        fold_s = now() - fold_began
        compared = await store_replay.compare(pool, tables)
    finally:
        await pool.close()
    events = sum(until.values()) - passed_over
    return Verdict(compared, drifted, refused, events, passed_over, fold_s, now() - began)


async def _check_log(pool: Pool, bootstrap: str, until: Mapping[Position, int]) -> None:
    """Raises LogLost unless the topics are those that were folded, and hold all of it still."""
    await offsets.bind(pool, *await kafka.describe(bootstrap, TOPICS))
    watcher = kafka.Watcher(bootstrap)
    try:
        lacking = missing(await watcher.beginnings(until), await watcher.ends(until), until)
    finally:
        await watcher.stop()
    if lacking:
        raise LogLost(lacking)


async def _fold(pool: Pool, bootstrap: str, until: Mapping[Position, int]) -> list[Refused]:
    """The service's own fold over the whole span; returns the events at which partitions came to stand still."""
    loop = BatchLoop(pool, handle, asyncio.Event())
    if until:
        async with _consumer(bootstrap, until) as consumer:
            await _read(consumer, loop, until)
    return [Refused(*position, offset) for position, offset in sorted(loop.stopped.items())]


async def _read(consumer: AIOKafkaConsumer, loop: BatchLoop, until: Mapping[Position, int]) -> None:
    reading = set(until)
    while reading:
        records = await _fetched(consumer, until)
        applied = await loop.apply(records)
        if applied.seek:  # nobody else moves these offsets: what should follow is not there
            raise LogLost(f"the log has a gap: {applied.seek}")
        done = {position for position, found in records.items() if found[-1].offset + 1 >= until[position]}
        done |= reading & loop.stopped.keys()
        consumer.pause(*(TopicPartition(*position) for position in done & reading))
        reading -= done


async def _fetched(consumer: AIOKafkaConsumer, until: Mapping[Position, int]) -> dict[Position, list[Any]]:
    """The next records before `until`. Raises TimeoutError when Kafka has none, though they must be there."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            found = await consumer.getmany(timeout_ms=POLL_MS, max_records=BATCH_RECORDS)
            records = {
                (tp.topic, tp.partition): [r for r in batch if r.offset < until[tp.topic, tp.partition]]
                for tp, batch in found.items()
            }
            if any(records.values()):
                return {position: batch for position, batch in records.items() if batch}


@asynccontextmanager
async def _consumer(bootstrap: str, positions: Mapping[Position, int]) -> AsyncIterator[AIOKafkaConsumer]:
    """Reads these partitions from their beginning, without a group."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        client_id="projections-replay",
        enable_auto_commit=False,
        auto_offset_reset="none",
        isolation_level="read_committed",
        max_partition_fetch_bytes=1024 * 1024,
    )
    await consumer.start()
    try:
        consumer.assign([TopicPartition(*position) for position in positions])
        for position in positions:
            consumer.seek(TopicPartition(*position), 0)
        yield consumer
    finally:
        with suppress(asyncio.CancelledError):  # aiokafka's, of one that is stopped right after its start
            await consumer.stop()
