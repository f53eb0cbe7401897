"""Across T: what the clock, the schedule or the log stands on is away when it is time. Late, never wrong."""

import asyncio
import random
import signal
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.chaos import processes
from tests.chaos.armed import Armed
from tests.chaos.fleet import Fleet
from tests.chaos.patience import PatientStory, patiently
from tests.chaos.rounds import Told, well
from tests.chaos.second import Instance, second
from tests.e2e.people import User
from tests.e2e.story import until, until_passed

TAKEN_S = 60.0
MOVED_S = 60.0
HANDS = 4
# After so long Postgres has ended the session of a frozen relay (5 s) and the transaction of a frozen batch (10 s), and
# Kafka has given its partitions away (6 s); then the other can go on.
SESSION_GONE_S, PARTITIONS_GONE_S = 8.0, 15.0


@dataclass(frozen=True)
class Size:
    """`long_s`: how long something is away. `lead_s`: from the first campaign made to T."""

    campaigns: int = 60
    long_s: float = 30.0
    lead_s: float = 15.0


@dataclass
class Stage:
    """What a scene is played on. Times are seconds from T."""

    fleet: Fleet
    armed: Armed
    size: Size
    t: datetime

    def pids(self, part: str) -> list[int]:
        found = processes.of(self.fleet.story.running.home, part)
        assert found, f"{part} should run"
        return found

    def at(self, seconds: float) -> datetime:
        return self.t + timedelta(seconds=seconds)

    async def until(self, seconds: float) -> None:
        await until_passed(self.at(seconds))


@dataclass(frozen=True)
class Scene:
    """`repeats`: it has events produced twice, or it was not what it is meant to be."""

    name: str
    strike: Callable[[Stage], Coroutine[Any, Any, None]]
    repeats: bool = False


async def _scheduler_frozen(stage: Stage) -> None:
    await stage.until(-2)
    with _frozen(stage.pids("scheduler")):
        await stage.until(stage.size.long_s - 2)


async def _kafka_frozen(stage: Stage) -> None:
    await stage.until(-stage.size.long_s / 3)
    with _frozen(stage.pids("kafka")):
        await stage.until(stage.size.long_s * 2 / 3)


async def _kafka_kept_down(stage: Stage) -> None:
    """It is started again and again, and never comes so far as to serve."""
    await stage.until(-stage.size.long_s / 3)
    while datetime.now(UTC) < stage.at(stage.size.long_s * 2 / 3):
        await asyncio.to_thread(_kill, stage, "kafka")
        await asyncio.sleep(0.3)


async def _postgres_killed(stage: Stage) -> None:
    await stage.until(0)
    await asyncio.to_thread(_kill, stage, "postgres")


def _zombie(service: str, step: str, arm_at_s: float) -> Callable[[Stage], Coroutine[Any, Any, None]]:
    """One of two freezes at the step, the other takes its work over, then the first wakes with what it had in hand."""
    least_s = SESSION_GONE_S if step.startswith(("relay", "clock")) else PARTITIONS_GONE_S

    async def strike(stage: Stage) -> None:
        story, name = stage.fleet.story, f"{service}.{step}"
        async with second(story.running, service) as pair:
            await stage.until(arm_at_s)
            stage.armed.arm(name, "STOP")
            zombie, live = await _taken(stage, name, pair)
            try:
                if service == "send-intake":
                    stage.fleet.address = live.url
                await asyncio.gather(asyncio.sleep(least_s), stage.until(3))
                await until(lambda: _works_alone(story, live), f"the other {service} takes over", MOVED_S)
            finally:
                processes.signal_to(zombie.pid, signal.SIGCONT)
                stage.fleet.address = story.running.url()
            # What it had in hand is done, or refused, before it may be stopped.
            await asyncio.sleep(3)

    return strike


async def _taken(stage: Stage, step: str, pair: tuple[Instance, Instance]) -> tuple[Instance, Instance]:
    """(who froze at the step, the other)."""
    frozen: list[int] = []

    async def taken() -> bool:
        frozen.extend([pid] if (pid := stage.armed.taken(step)) else [])
        return bool(frozen)

    try:
        await until(taken, f"nobody came to {step}", TAKEN_S)
    finally:
        stage.armed.disarm(step)
    first, other = pair
    return (first, other) if frozen == [first.pid] else (other, first)


async def _works_alone(story: PatientStory, live: Instance) -> bool:
    """It leads its relay and, a scheduler, has read all partitions to their ends."""

    async def ask() -> dict[str, Any] | None:
        async with story.http.get(f"{live.url}/status") as answer:
            return await answer.json() if answer.status == 200 else None

    status = await patiently(ask)
    return bool(status.get("relay_leads", status["lag"] == 0))


@contextmanager
def _frozen(pids: Iterable[int]) -> Iterator[None]:
    try:
        for pid in pids:
            processes.signal_to(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in pids:
            processes.signal_to(pid, signal.SIGCONT)


def _kill(stage: Stage, part: str) -> None:
    processes.kill(processes.of(stage.fleet.story.running.home, part))


CLOCK = ("clock.read", "clock.moved", "clock.ends", "clock.produced")
SCENES = (
    Scene("scheduler frozen", _scheduler_frozen),
    *(
        Scene(f"a scheduler frozen at {step}, another takes over", _zombie("scheduler", step, at))
        for step, at in (("batch.handled", -8.0), ("batch.written", -8.0), ("release.ready", -1.0))
    ),
    Scene("a scheduler's relay frozen at relay.produced", _zombie("scheduler", "relay.produced", -1.0), repeats=True),
    *(Scene(f"the clock frozen at {step}, another goes on", _zombie("send-intake", step, -1.5)) for step in CLOCK),
    Scene("send-intake's relay frozen at relay.appended", _zombie("send-intake", "relay.appended", -1.5)),
    Scene("Kafka frozen", _kafka_frozen),
    Scene("Kafka killed and kept down", _kafka_kept_down),
    Scene("Postgres killed at T", _postgres_killed),
)


async def play(story: PatientStory, armed: Armed, scene: Scene, rng: random.Random, size: Size | None = None) -> Told:
    """One scene; its problems are empty when all is as it must be."""
    size, began = size or Size(), time.monotonic()
    fleet = Fleet(story)
    senders = await fleet.senders(HANDS)
    stage = Stage(fleet, armed, size, datetime.now(UTC) + timedelta(seconds=size.lead_s))
    async with asyncio.TaskGroup() as group:
        group.create_task(scene.strike(stage))
        group.create_task(_campaigns(stage, senders, rng))
    problems = await fleet.judge()
    log = await fleet.log()
    await well(story)
    early = sum(len(small.due) for small in fleet.all if small.early)
    sent = sum(len(small.due) for small in fleet.all)
    if not 0 < early < sent or len(fleet.all) < size.campaigns:
        problems.append(f"{early} of {sent} SENT were dropped, of {len(fleet.all)} campaigns: the scene shows little")
    if scene.repeats and not log.repeated:
        problems.append("nothing lies in releases twice: the scene shows little")
    line = (
        f"{scene.name}: {len(fleet.all)} campaigns, {sent} SENT, of which {early} were dropped;"
        f" {log.line}; {time.monotonic() - began:.0f} s"
    )
    return Told(scene.name, problems + log.problems, line)


async def _campaigns(stage: Stage, senders: list[User], rng: random.Random) -> None:
    """A third ends before T, a third at or after it, a third never."""
    ends = [
        (-rng.uniform(0.05, 6.0), rng.uniform(0, stage.size.long_s), None)[n % 3] for n in range(stage.size.campaigns)
    ]
    plans = iter([(rng.uniform(-0.5, 0.5), rng.randint(2, 4), rng.randint(1, 2), end) for end in ends])

    async def hand(sender: User) -> None:
        for apart, sent, unsent, end in plans:
            t = stage.at(apart)
            if (small := await stage.fleet.make(sender, t, sent, unsent)) and end is not None:
                group.create_task(stage.fleet.end(small, t + timedelta(seconds=end)))

    async with asyncio.TaskGroup() as group:
        for sender in senders:
            group.create_task(hand(sender))
