"""Both ways of feeding the batch loop, Faust's and plain aiokafka's, as processes of one group that come and go."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from kernel import quarantine
from kernel.database import Pool
from kernel.kafka import producer
from kernel.testing import eventually, processed

from schemas.codec import encode
from tests.integration.kernel.ledger import kept

PARTITIONS = 4
MANY = 1300  # more than two batches: so far has the consumer read on
BAD = b"\x00\x00\x00\x00\x63 these bytes are no event"

NewTopic = Callable[[int], Awaitable[str]]


class Group:
    """The processes of a stand-in service, and the topic they share."""

    def __init__(self, way: str, database_url: str, bootstrap: str, topic: str, folder: Path) -> None:
        self.arguments, self.topic, self.folder = (way, database_url, bootstrap, topic), topic, folder
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, *more: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{len(self.processes)}.log").open("wb") as log:
            command = [sys.executable, "-m", "tests.integration.kernel.standin", *self.arguments, *more]
            self.processes.append(subprocess.Popen(command, stdout=log, stderr=log))
        return self.processes[-1]

    def end(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.send_signal(signal.SIGTERM)
        for process in self.processes:
            process.wait(20)


@pytest.fixture(params=["faust", "plain"])
async def group(
    request: pytest.FixtureRequest, pool: Pool, database_url: str, kafka: str, new_topic: NewTopic, tmp_path: Path
) -> AsyncIterator[Group]:
    group = Group(request.param, database_url, kafka, await new_topic(PARTITIONS), tmp_path)
    yield group
    group.end()


@pytest.fixture
async def out(kafka: str) -> AsyncIterator[AIOKafkaProducer]:
    out = producer(kafka, "tests")
    await out.start()
    yield out
    await out.stop()


class Load:
    """Records on every partition, the same number on each."""

    def __init__(self, out: AIOKafkaProducer, topic: str) -> None:
        self.out, self.topic, self.count = out, topic, 0

    async def put(self, count: int) -> None:
        for _ in range(count):
            for partition in range(PARTITIONS):
                await self.out.send(self.topic, encode(processed(self.count)), partition=partition)
            self.count += 1
        await self.out.flush()

    async def run(self, until: asyncio.Event) -> None:
        """Some thousand a second."""
        while not until.is_set():
            await self.put(20)
            await asyncio.sleep(0.02)


async def everything(pool: Pool, count: int) -> None:
    """Waits until the ledger has as many rows as records were put, and checks that it is these, each once, in order."""

    async def all_there() -> bool:
        return int(await pool.fetchval("SELECT count(*) FROM ledger")) >= count * PARTITIONS

    await eventually(all_there, "all of it was read", 30)
    for partition in range(PARTITIONS):
        assert await kept(pool, partition) == list(range(count))


async def test_processes_that_join_die_freeze_and_wake_leave_no_hole_and_no_double(
    pool: Pool, group: Group, out: AIOKafkaProducer
) -> None:
    async def works(process: subprocess.Popen[bytes], partitions: int = 1) -> None:
        """It applies events of so many partitions, all new since now."""
        last = await pool.fetchval("SELECT coalesce(max(seq), 0) FROM ledger")
        query = "SELECT count(DISTINCT partition) >= $3 FROM ledger WHERE pid = $1 AND seq > $2"
        await eventually(lambda: pool.fetchval(query, process.pid, last, partitions), "it works", 30)

    load, enough = Load(out, group.topic), asyncio.Event()
    loading = asyncio.create_task(load.run(enough))
    first, second = group.start(), group.start()
    await works(first)
    await works(second)
    second.kill()
    await works(first, PARTITIONS)
    third = group.start()
    await works(third)
    first.send_signal(signal.SIGSTOP)
    await works(third, PARTITIONS)
    first.send_signal(signal.SIGCONT)
    await works(first)
    third.send_signal(signal.SIGTERM)
    await works(first, PARTITIONS)
    enough.set()
    await loading
    await everything(pool, load.count)
    assert third.wait(20) == 0


async def test_a_stopped_partition_goes_on_after_an_operators_word_and_the_others_never_wait(
    pool: Pool, group: Group, out: AIOKafkaProducer
) -> None:
    load = Load(out, group.topic)
    await load.put(3)
    await out.send_and_wait(group.topic, BAD, partition=0)
    group.start()
    await load.put(MANY)

    async def others_went_on() -> bool:
        return int(await pool.fetchval("SELECT count(*) FROM ledger WHERE partition > 0")) == (3 + MANY) * 3

    async def stopped() -> bool:
        return group.topic in {topic for topic, _ in await quarantine.standing(pool)}

    await eventually(others_went_on)
    await eventually(stopped)
    assert await kept(pool) == [0, 1, 2]
    async with pool.acquire() as operator:
        assert await quarantine.retry(operator, (group.topic, 0))
    await eventually(stopped, "the retried event stops it again")
    async with pool.acquire() as operator:
        assert await quarantine.set_aside(operator, (group.topic, 0), "rubbish", "tests") == 3

    async def passed() -> bool:
        return len(await kept(pool)) == 3 + MANY

    await eventually(passed)
    assert await kept(pool) == [0, 1, 2, *range(4, 4 + MANY)]


async def test_a_process_ends_with_1_when_its_handler_is_wrong_and_a_peer_has_the_same_trouble_not(
    pool: Pool, group: Group, out: AIOKafkaProducer
) -> None:
    await pool.execute("ALTER TABLE ledger RENAME TO away")  # what no retry mends
    await Load(out, group.topic).put(1)
    assert await asyncio.to_thread(group.start().wait, 30) == 1
    await pool.execute("ALTER TABLE away RENAME TO ledger")
    group.start()
    await everything(pool, 1)


async def test_a_group_that_was_dealt_no_partitions_while_the_broker_was_away_is_dealt_them_soon_after(
    pool: Pool, group: Group, out: AIOKafkaProducer
) -> None:
    load = Load(out, group.topic)
    await load.put(3)
    group.start("6")
    group.start("6")
    await everything(pool, 3)


async def test_a_process_that_is_stopped_while_it_starts_ends(group: Group) -> None:
    process = group.start()
    await eventually(lambda: _catches_sigterm(process.pid), "it listens to signals")
    process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(process.wait, 15) == 0


def _catches_sigterm(pid: int) -> bool:
    status = (Path("/proc") / str(pid) / "status").read_text()
    caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)
