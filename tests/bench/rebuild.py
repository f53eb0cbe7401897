"""The read models from the log's beginning: events a second, beside a bare decode and COPY in the same run."""

import asyncio
import gc
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import asyncpg
import uvloop
from handsent import topics
from handsent.kafka import EmbeddedKafka
from handsent.postgres import EmbeddedPostgres
from kernel import database, health, kafka
from kernel.offsets import Position
from kernel.relay import Leader
from projections import app_run, app_shares
from projections.app import TOPICS as FOLDED
from projections.app_span import reader
from projections.store import COLUMNS

from schemas.codec import decode, encode, key_of
from schemas.events import RecipientAdded
from schemas.topics import TOPIC_OF, TOPICS
from tests.bench.scheduling import family_cpu_s
from tests.unit.projections.life import NOON, Life

LISTS = 20  # campaigns the recipients are spread over
# What a row that was delivered holds, beside what its RecipientAdded says.
TIMES = ("processed_at", "due_at", "released_at", "sent_at", "accepted_at", "receipt_at", "added_at", "outcome_at")
DELIVERED: dict[str, Any] = dict.fromkeys(TIMES, NOON) | {
    "columns": '["First Name","last_name","City"]',
    "cells": '["Ada","Byron","Bath"]',
    "state": "delivered",
    "history": bytes(27 * 6),
    "processed_by": "sam",
    "attempt": 1,
    "outcome": "accepted",
    "carrier_message_id": "SM1",
    "segments": 1,
    "receipt_attempt": 1,
    "receipt": "delivered",
}
Spans = dict[Position, tuple[int, int]]


@dataclass(frozen=True)
class Result:
    """Seconds, and µs of CPU an event: ours with the workers', and the servers'."""

    events: int
    rebuild_s: float
    bare_s: float
    workers: int
    cpu_us: dict[str, float]

    @property
    def per_s(self) -> float:
        return self.events / self.rebuild_s

    @property
    def ratio(self) -> float:
        return self.bare_s / self.rebuild_s


async def measure(recipients: int) -> Result:
    with tempfile.TemporaryDirectory(prefix="handsent-bench-") as folder:
        home = Path(folder)
        with EmbeddedPostgres(home) as postgres, EmbeddedKafka(home) as broker:
            await topics.create(broker.bootstrap, TOPICS.values())
            await kafka.when_there(broker.bootstrap, TOPICS)
            await _tell(broker.bootstrap, recipients)
            until = await _as_if_live(postgres.url, broker.bootstrap)
            workers = os.cpu_count() or 1
            bare_s = await _bare(postgres.url, broker.bootstrap, until, workers)
            before = _cpu_s(postgres, broker)
            done = await app_run.run(postgres.url, broker.bootstrap, {}, workers, lambda _line: None)
            cpu_us = {name: (s - before[name]) / done.events * 1e6 for name, s in _cpu_s(postgres, broker).items()}
            assert done.events == sum(until.values()) and not done.stopped
            return Result(done.events, done.seconds, bare_s, workers, cpu_us)


def _cpu_s(postgres: EmbeddedPostgres, broker: EmbeddedKafka) -> dict[str, float]:
    assert postgres.process and broker.process
    ours = os.times()
    return {
        "ours": sum(ours[:4]),
        "postgres": family_cpu_s(postgres.process.pid),
        "kafka": family_cpu_s(broker.process.pid),
    }


async def _tell(bootstrap: str, recipients: int) -> None:
    """Lists first, then the lives of their people, in order."""
    async with kafka.producer(bootstrap, "bench") as producer:
        leader = Leader(None, producer)  # type: ignore[arg-type]
        for at in range(0, recipients, 10_000):
            lives = [_life(n) for n in range(at, min(at + 10_000, recipients))]
            await _produce(leader, [event for life in lives for event in _listed(life)])
        for at in range(0, recipients, 10_000):
            lives = [_life(n) for n in range(at, min(at + 10_000, recipients))]
            await _produce(leader, [e for life in lives for e in _story(life)])


def _life(n: int) -> Life:
    return Life(campaign=f"list {n % LISTS}", number=f"+1202{n:07d}", position=n, sealed=False)


def _listed(life: Life) -> Iterator[Any]:
    if life.position < LISTS:
        yield life.created()
    yield life.added()


def _story(life: Life) -> Iterator[Any]:
    yield from (life.processed(), life.released(), life.attempted(), life.accepted())
    yield life.not_delivered() if life.position % 10 == 0 else life.delivered()


async def _produce(leader: Leader, events: list[Any]) -> None:
    by_topic: dict[str, list[tuple[bytes | None, bytes]]] = {}
    for event in events:
        by_topic.setdefault(TOPIC_OF[type(event)].name, []).append((key_of(event), encode(event)))
    await leader.produce(by_topic)


async def _as_if_live(url: str, bootstrap: str) -> dict[Position, int]:
    """A projections that has read everything; what it made of it is not looked at."""
    await database.migrate(url, "projections", "projections")
    pool = await database.open_pool(url, "projections", max_size=1)
    inputs = await health.bind_inputs(pool, bootstrap, FOLDED)
    watcher = kafka.Watcher(bootstrap)
    ends = await watcher.ends(inputs.positions)
    await watcher.stop()
    await pool.executemany(
        "UPDATE offsets SET next_offset = $3 WHERE topic = $1 AND partition = $2",
        [(*p, end) for p, end in ends.items()],
    )
    await pool.close()
    return {position: end for position, end in ends.items() if end}


# --- the yardstick ---------------------------------------------------------------------------------------


async def _bare(url: str, bootstrap: str, until: Mapping[Position, int], workers: int) -> float:
    """Seconds in which as many processes decode all events, and COPY a row of the same size for each recipient."""
    connection = await asyncpg.connect(url)
    await connection.execute("CREATE TABLE bare (LIKE projections.recipients)")
    spans = {position: (0, end) for position, end in until.items()}
    counts = {topic: TOPICS[topic].partitions_local for topic in FOLDED}
    dealt = app_shares.deal(spans, counts, workers)
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        await asyncio.gather(*(loop.run_in_executor(pool, _warm) for _ in range(workers)))
        began = time.monotonic()
        await asyncio.gather(*(loop.run_in_executor(pool, _decode_and_copy, url, bootstrap, share) for share in dealt))
        took = time.monotonic() - began
    await connection.execute("DROP TABLE bare")
    await connection.close()
    return took


def _warm() -> None:
    """Until all of them are there, with what they import."""
    time.sleep(2)


def _decode_and_copy(url: str, bootstrap: str, spans: Spans) -> None:
    gc.disable()
    uvloop.run(_copy(url, bootstrap, spans))


async def _copy(url: str, bootstrap: str, spans: Spans) -> None:
    until = {position: end for position, (_, end) in spans.items()}
    rows: list[tuple[Any, ...]] = []
    async with reader(bootstrap, dict.fromkeys(until, 0)) as log:
        while records := await log.oldest(until, 4000):
            for batch in records.values():
                for record in batch:
                    event = decode(record.value)
                    if isinstance(event, RecipientAdded):
                        rows.append(_row(event))
    connection = await asyncpg.connect(url, server_settings={"synchronous_commit": "off"})
    await connection.copy_records_to_table("bare", columns=COLUMNS, records=rows)
    await connection.close()


def _row(e: RecipientAdded) -> tuple[Any, ...]:
    """As large as a row that was delivered."""
    return tuple(DELIVERED.get(column, getattr(e, column, None)) for column in COLUMNS)


def lines(result: Result) -> str:
    """What `make bench` prints."""
    return (
        f"rebuild: {result.events:,} events into read models in {result.rebuild_s:.1f} s, {result.per_s:,.0f}/s with "
        f"{result.workers} workers, indexes included; {result.ratio:.2f} of a bare decode and COPY "
        f"({result.events / result.bare_s:,.0f}/s)\n"
        f"     µs CPU an event: {', '.join(f'{name} {us:.1f}' for name, us in result.cpu_us.items())}"
    )


if __name__ == "__main__":
    import sys

    print(lines(asyncio.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000))))
