"""kill -9 at every named step of scheduler and relays, again and again under load: each SEND has one outcome."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from tests.chaos import armed as named
from tests.chaos.armed import Armed
from tests.chaos.fleet import Fleet
from tests.chaos.patience import AWAY, PatientStory
from tests.chaos.rounds import Told, generator, well
from tests.e2e.people import User
from tests.e2e.story import until

REACH_S = 90.0
START_S = 60.0
PORTS = {"scheduler": "SCHEDULER_PORT", "send-intake": "INTAKE_PORT"}
ALL = tuple(f"{service}.{step}" for service, steps in named.STEPS.items() for step in steps)


@dataclass(frozen=True)
class Size:
    kills: int = 300
    hands: int = 4
    pause_s: tuple[float, float] = (1.5, 3.5)  # of each hand between campaigns


@dataclass(frozen=True)
class Kind:
    """A campaign of the load: T so long after it is made, END so long after its SENDs or so long after T."""

    lead_s: tuple[float, float] | None = None
    end_s: tuple[float, float] | None = None
    from_t: bool = False


LOAD = (
    Kind(),
    Kind(end_s=(0.0, 3.0)),
    Kind(lead_s=(4.0, 12.0)),
    Kind(lead_s=(4.0, 12.0), end_s=(-0.05, 0.05), from_t=True),
    Kind(lead_s=(4.0, 12.0), end_s=(0.0, 3.0), from_t=True),
    # Long enough before T for the messages to be held first, and dropped from there.
    Kind(lead_s=(15.0, 25.0), end_s=(1.5, 4.0)),
    Kind(lead_s=(15.0, 25.0), end_s=(1.5, 4.0)),
)


@dataclass
class Steps:
    fleet: Fleet
    armed: Armed
    rng: random.Random
    size: Size
    killed: Counter[str] = field(default_factory=Counter)
    never: list[str] = field(default_factory=list)

    async def run(self, steps: Sequence[str]) -> None:
        """Each service's steps by turns, both services side by side, while campaigns come and go."""
        senders = await self.fleet.senders(self.size.hands)
        over = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for sender in senders:
                group.create_task(self._load(sender, over))
            lanes = [[step for step in steps if step.startswith(f"{service}.")] for service in named.STEPS]
            await asyncio.gather(*(self._lane(lane) for lane in lanes))
            over.set()

    async def _lane(self, steps: list[str]) -> None:
        for step in steps:
            service = step.partition(".")[0]
            if self.rng.random() < 0.7:  # else it may be armed before the service is back, and met with the backlog
                await self._runs(service)
                # People must get through to send-intake in between, or there is no load.
                await asyncio.sleep(self.rng.uniform(2, 4) if service == "send-intake" else self.rng.uniform(0, 1))
            self.armed.arm(step)
            if await self._taken(step):
                self.killed[step] += 1
            else:
                self.armed.disarm(step)
                self.never.append(step)
        for service in named.STEPS:
            await self._runs(service)

    async def _taken(self, step: str) -> bool:
        async def taken() -> bool:
            return self.armed.taken(step) is not None

        try:
            await until(taken, step, REACH_S)
        except AssertionError:
            return False
        return True

    async def _runs(self, service: str) -> None:
        story = self.fleet.story

        async def ready() -> bool:
            try:
                async with asyncio.timeout(2), story.http.get(f"{story.running.url(PORTS[service])}/readyz") as answer:
                    return answer.status == 200
            except AWAY:
                return False

        await until(ready, f"{service} runs again", START_S)

    async def _load(self, sender: User, over: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            while not over.is_set():
                kind = self.rng.choice(LOAD)
                t = None if kind.lead_s is None else datetime.now(UTC) + self._after(kind.lead_s)
                small = await self.fleet.make(sender, t, self.rng.randint(2, 8), self.rng.randint(0, 2))
                if small and kind.end_s:
                    start = t if kind.from_t and t else datetime.now(UTC)
                    group.create_task(self.fleet.end(small, start + self._after(kind.end_s)))
                await asyncio.sleep(self.rng.uniform(*self.size.pause_s))

    def _after(self, seconds: tuple[float, float]) -> timedelta:
        return timedelta(seconds=self.rng.uniform(*seconds))


async def play(
    story: PatientStory, armed: Armed, seed: int, size: Size | None = None, steps: Sequence[str] | None = None
) -> Told:
    """The kills; its problems are empty when all is as it must be."""
    size, began, rng = size or Size(), time.monotonic(), generator(seed, 0)
    work = Steps(Fleet(story), armed, rng, size)
    await work.run(steps or by_turns(rng, size.kills))
    problems = [f"{step} was armed and not reached in {REACH_S:.0f} s" for step in work.never]
    problems += await work.fleet.judge()
    log = await work.fleet.log()
    await well(story)
    if len(set(log.of.values())) < 2:
        problems.append("nothing was released, or nothing dropped: the kills show little")
    kills = ", ".join(f"{step} {count}" for step, count in sorted(work.killed.items()))
    line = (
        f"{work.killed.total()} kills at {len(work.killed)} steps ({kills}); {len(work.fleet.all)} campaigns;"
        f" {log.line}; {time.monotonic() - began:.0f} s"
    )
    return Told("steps", problems + log.problems, line)


def by_turns(rng: random.Random, kills: int) -> list[str]:
    """Every step once before any comes again."""
    found: list[str] = []
    while len(found) < kills:
        found += rng.sample(ALL, len(ALL))
    return found[:kills]
