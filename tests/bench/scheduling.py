"""A million messages due at one instant: how soon the first and the last are in `releases`, and what a tick costs."""

import asyncio
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import psutil
from handsent import topics
from handsent.kafka import EmbeddedKafka
from handsent.postgres import EmbeddedPostgres
from kernel import database, kafka
from kernel.kafka import Watcher, when_there
from kernel.relay import Leader
from kernel.testing import clock, processed
from scheduler import store

from schemas.codec import encode, key_of
from schemas.identity import HANDSENT, uuid5
from schemas.topics import TOPICS

CHUNK = 5000
TICKS = 300
OFF = {"TOKEN_KEY": "a token key for the benchmark, long enough", "PERSON_ID_SECRET": "a secret for the benchmark"}


@dataclass(frozen=True)
class Result:
    """Seconds from the reading of the clock that reaches T, messages a second, CPU µs a message, seconds a tick."""

    messages: int
    ingest_per_s: float
    first_s: float
    all_s: float
    bare_per_s: float
    cpu_us: dict[str, float]
    tick_s: dict[int, float]

    @property
    def per_s(self) -> float:
        return self.messages / self.all_s


async def measure(messages: int, many: int) -> Result:
    """`many`: how many are held for the future while a tick is timed."""
    with tempfile.TemporaryDirectory(prefix="handsent-bench-") as folder:
        home = Path(folder)
        with EmbeddedPostgres(home) as postgres, EmbeddedKafka(home) as broker:
            await topics.create(broker.bootstrap, TOPICS.values())
            await when_there(broker.bootstrap, TOPICS)
            with _scheduler(home, postgres.url, broker.bootstrap) as scheduler:
                bench = _Bench(postgres, broker, scheduler)
                return await bench.run(messages, many)


@contextmanager
def _scheduler(home: Path, database_url: str, bootstrap: str) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, **OFF, "DATABASE_URL": database_url, "KAFKA_BOOTSTRAP": bootstrap,
                   "SCHEDULER_PORT": str(_free_port())}  # fmt: skip
    with (home / "scheduler.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "scheduler"], env=environment, stdout=log, stderr=log)
    try:
        yield process
        assert process.poll() is None, (home / "scheduler.log").read_text()[-2000:]
    finally:
        process.terminate()
        process.wait(60)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port


class _Bench:
    def __init__(self, postgres: EmbeddedPostgres, broker: EmbeddedKafka, scheduler: subprocess.Popen[bytes]) -> None:
        self._url, self._bootstrap = postgres.url, broker.bootstrap
        assert postgres.process and broker.process
        self._pids = {"scheduler": scheduler.pid, "postgres": postgres.process.pid, "kafka": broker.process.pid}
        self._t = datetime.now(UTC) + timedelta(days=1)

    async def run(self, messages: int, many: int) -> Result:
        self._producer = kafka.producer(self._bootstrap, "bench")
        self._watcher = Watcher(self._bootstrap)
        await self._producer.start()
        ingest_s = await self._fill(messages)
        before = self._cpu_s()
        first_s, all_s = await self._release(messages)
        cpu = {name: (s - before[name]) / messages * 1e6 for name, s in self._cpu_s().items()}
        await self._producer.stop()
        await self._watcher.stop()
        pool = await database.open_pool(self._url, "scheduler", max_size=2, **store.SESSION)
        bare = await _bare(pool, messages)
        ticks = {count: await _tick_s(pool, count) for count in (10_000, many)}
        await pool.close()
        return Result(messages, messages / ingest_s, first_s, all_s, bare, cpu, ticks)

    async def _fill(self, messages: int) -> float:
        """The presses come through the topic, as from send-intake."""
        leader = Leader(None, self._producer)  # type: ignore[arg-type]
        campaign = uuid5(HANDSENT, "bench")
        pool = await self._pool()
        began = time.monotonic()
        for at in range(0, messages, 20_000):
            events = [
                processed(n, self._t - timedelta(hours=1), campaign, self._t)
                for n in range(at, min(at + 20_000, messages))
            ]
            await leader.produce({"processed": [(key_of(event), encode(event)) for event in events]})
        while await pool.fetchval("SELECT coalesce(sum(held), 0) FROM waiting") < messages:
            await asyncio.sleep(0.2)
        took = time.monotonic() - began
        await pool.close()
        return took

    async def _release(self, messages: int) -> tuple[float, float]:
        positions = [("releases", p) for p in range(TOPICS["releases"].partitions_local)]
        event = clock(self._t, {})
        began = time.monotonic()
        await Leader(None, self._producer).produce({"clock": [(None, encode(event))]})  # type: ignore[arg-type]
        first_s = 0.0
        while (there := sum((await self._watcher.ends(positions)).values())) < messages:
            if there and not first_s:
                first_s = time.monotonic() - began
            assert time.monotonic() - began < 600
            await asyncio.sleep(0.02)
        return first_s, time.monotonic() - began

    async def _pool(self) -> database.Pool:
        deadline = time.monotonic() + 60
        while True:
            try:
                pool = await database.open_pool(self._url, "scheduler", max_size=1)
                await pool.fetchval("SELECT count(*) FROM waiting")
                return pool
            except (asyncpg.PostgresError, OSError):
                assert time.monotonic() < deadline
                await asyncio.sleep(0.2)

    def _cpu_s(self) -> dict[str, float]:
        return {name: family_cpu_s(pid) for name, pid in self._pids.items()}


def family_cpu_s(pid: int) -> float:
    parent = psutil.Process(pid)
    family = [parent, *parent.children(recursive=True)]
    return sum(times.user + times.system + times.children_user for times in (one.cpu_times() for one in family))


async def _bare(pool: database.Pool, messages: int) -> float:
    """The yardstick: the same number of rows of the same size taken from a table by its time, and nothing else."""
    await pool.execute(
        f"CREATE TABLE bare AS SELECT gen_random_uuid() AS id, now() AS due_at, repeat('x', 500)::bytea AS event "
        f"FROM generate_series(1, {messages}); CREATE INDEX ON bare (due_at)"
    )
    began, taken = time.monotonic(), 0
    while taken < messages:
        taken += len(
            await pool.fetch(
                "DELETE FROM bare WHERE ctid = ANY (ARRAY(SELECT ctid FROM bare WHERE due_at <= now() "
                "ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED)) RETURNING event",
                CHUNK,
            )
        )
    rate = messages / (time.monotonic() - began)
    await pool.execute("DROP TABLE bare")
    return rate


async def _tick_s(pool: database.Pool, held: int) -> float:
    """One look for what is due, with so many held for the future, in a thousand campaigns."""
    await pool.execute(
        "TRUNCATE held, waiting; CREATE TABLE c AS SELECT n, gen_random_uuid() AS id FROM generate_series(0, 999) n"
    )
    for at in range(0, held, 500_000):
        await pool.execute(
            "INSERT INTO held (recipient_id, campaign_id, due_at, release) "
            "SELECT gen_random_uuid(), c.id, timestamptz '2100-01-01' + make_interval(mins => c.n), 'x' "
            f"FROM c, generate_series(1, {min(500_000, held - at) // 1000})"
        )
    await pool.execute("DROP TABLE c; ANALYZE held; ANALYZE waiting")
    times = []
    for _ in range(TICKS):
        began = time.perf_counter()
        async with pool.acquire() as connection:
            await store.advance_watermark(connection)
        await store.ready(pool, 1000)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def lines(result: Result) -> str:
    """What `make bench` prints."""
    few, many = result.tick_s.items()
    cpu = ", ".join(f"{name} {us:.1f}" for name, us in result.cpu_us.items())
    return (
        f"due at once: {result.messages:,} messages; once the clock has reached T the first is in `releases` after "
        f"{result.first_s * 1000:.0f} ms, all after {result.all_s:.1f} s\n"
        f"     {result.per_s:,.0f}/s, {result.per_s / result.bare_per_s:.2f} of a bare DELETE of the same rows "
        f"({result.bare_per_s:,.0f}/s); µs CPU a message: {cpu}\n"
        f"     held at {result.ingest_per_s:,.0f}/s, making and producing the presses included\n"
        f"tick: {few[1] * 1000:.2f} ms with {few[0]:,} held, {many[1] * 1000:.2f} ms with {many[0]:,} "
        f"({many[1] / few[1]:.2f} times)"
    )
