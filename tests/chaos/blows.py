"""What is done to the stack: parts killed with -9, all of it killed and started again, parts frozen."""

import asyncio
import random
import signal
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from tests.chaos import processes
from tests.e2e.running import Running

# Open POSTs of one dispatcher at most: what a kill of it may leave unknown.
CONNECTIONS = 64
SETTINGS = {"CARRIER_CONNECTIONS": str(CONNECTIONS)}


@dataclass(frozen=True)
class Blow:
    """`across_t`: it is struck just before T and lasts beyond it. `loses`: the POSTs it may leave unknown for good."""

    name: str
    strike: Callable[[Running, random.Random], Coroutine[Any, Any, None]]
    across_t: bool = False
    loses: int = 0


def _kills(*parts: str) -> Callable[[Running, random.Random], Coroutine[Any, Any, None]]:
    async def strike(running: Running, rng: random.Random) -> None:
        pids = {part: processes.of(running.home, part) for part in parts}
        assert all(pids.values()), f"{parts} should run"
        processes.kill([pid for family in pids.values() for pid in family])

    return strike


async def _kill_everything(running: Running, rng: random.Random) -> None:
    assert running.process is not None
    pids = processes.of(running.home)
    assert running.process.pid in pids and len(pids) > 7
    rng.shuffle(pids)
    # The supervisor first, or it would begin to start again what dies.
    processes.kill([running.process.pid, *(pid for pid in pids if pid != running.process.pid)])
    await _start_again(running)


async def _kill_the_supervisor(running: Running, rng: random.Random) -> None:
    assert running.process is not None
    processes.kill([running.process.pid])
    await _start_again(running)


async def _start_again(running: Running) -> None:
    assert running.process is not None
    running.process.wait()
    running.launch()
    await asyncio.to_thread(running.until_ready)


async def _kill_the_postmaster_alone(running: Running, rng: random.Random) -> None:
    pids = processes.of(running.home, "postgres")
    processes.kill([min(pids)])


async def _kill_a_backend(running: Running, rng: random.Random) -> None:
    """Postgres then ends all the others and recovers."""
    _, *others = sorted(processes.of(running.home, "postgres"))
    processes.kill([rng.choice(others)])


async def _one_after_the_other(running: Running, rng: random.Random) -> None:
    """The next dies while the last is still coming back."""
    for part in rng.choices(("send-intake", "scheduler", "dispatcher", "projections", "kafka", "postgres"), k=5):
        processes.kill(processes.of(running.home, part))
        await asyncio.sleep(rng.uniform(0.2, 3.0))


async def _kill_everything_twice(running: Running, rng: random.Random) -> None:
    await _kill_everything(running, rng)
    await asyncio.sleep(rng.uniform(0, 1.0))
    await _kill_everything(running, rng)


def _freezes(part: str, seconds: float) -> Callable[[Running, random.Random], Coroutine[Any, Any, None]]:
    async def strike(running: Running, rng: random.Random) -> None:
        pids = processes.of(running.home, part)
        try:
            for pid in pids:
                processes.signal_to(pid, signal.SIGSTOP)
            await asyncio.sleep(seconds * rng.uniform(0.8, 1.2))
        finally:
            for pid in pids:
                processes.signal_to(pid, signal.SIGCONT)

    return strike


EVERYTHING = Blow("kill -9 of everything", _kill_everything, loses=CONNECTIONS)
SINGLE = (
    Blow("kill -9 of send-intake", _kills("send-intake")),
    Blow("kill -9 of scheduler", _kills("scheduler")),
    Blow("kill -9 of dispatcher", _kills("dispatcher"), loses=CONNECTIONS),
    Blow("kill -9 of projections", _kills("projections")),
    Blow("kill -9 of Kafka", _kills("kafka")),
    Blow("kill -9 of Postgres", _kills("postgres")),
    Blow("kill -9 of the simulator", _kills("simulator"), loses=CONNECTIONS),
)
OTHERS = (
    Blow("kill -9 of the supervisor alone", _kill_the_supervisor, loses=CONNECTIONS),
    Blow("kill -9 of the postmaster alone", _kill_the_postmaster_alone),
    Blow("kill -9 of a backend of Postgres", _kill_a_backend),
    Blow("kill -9 of dispatcher and simulator", _kills("dispatcher", "simulator"), loses=2 * CONNECTIONS),
    Blow("kill -9 of Kafka and Postgres", _kills("kafka", "postgres")),
    Blow(
        "kill -9 of all four services",
        _kills("send-intake", "scheduler", "dispatcher", "projections"),
        loses=CONNECTIONS,
    ),
    Blow("kill -9 of five parts, one after the other", _one_after_the_other, loses=5 * CONNECTIONS),
    Blow("kill -9 of everything, twice", _kill_everything_twice, loses=2 * CONNECTIONS),
    Blow("projections frozen across T for long", _freezes("projections", 14), across_t=True),
    Blow("scheduler frozen across T", _freezes("scheduler", 4), across_t=True),
    Blow("dispatcher frozen across T", _freezes("dispatcher", 4), across_t=True),
    Blow("dispatcher frozen across T for long", _freezes("dispatcher", 14), across_t=True, loses=CONNECTIONS),
    Blow("send-intake frozen across T", _freezes("send-intake", 4), across_t=True),
    Blow("scheduler frozen across T for long", _freezes("scheduler", 14), across_t=True),
)
ALL = (EVERYTHING, *SINGLE, *OTHERS)


def order(rng: random.Random, rounds: int) -> list[Blow]:
    """Every blow once before any comes again."""
    found: list[Blow] = []
    while len(found) < rounds:
        found += rng.sample(ALL, len(ALL))
    return found[:rounds]


def faults(rng: random.Random) -> dict[str, Any]:
    """What the carrier does wrong meanwhile."""
    return {
        "seed": rng.randrange(10**6),
        "latency_ms": rng.choice((100, 300, 800)),  # so that many POSTs are under way when the blow falls
        "drop_response": rng.choice((0, 0.05)),
        "fail_after_accept": rng.choice((0, 0.05)),
        "throttle_per_s": rng.choice((60, 150, 100_000)),
        "reject": rng.choice(({}, {"21211": 0.05})),
        "receipts": {
            "delay_ms": rng.choice((0, 500, 2000)),
            "repeat": rng.choice((0, 0.3)),
            "shuffle": rng.choice((0, 0.5)),
            "failed": rng.choice((0, 0.1)),
        },
    }
