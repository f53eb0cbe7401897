"""What is done to dispatchers, Postgres, Kafka and wires, one after the other without waiting for them to come back."""

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field

from tests.chaos import processes
from tests.chaos.armed import DISPATCHER, Armed
from tests.chaos.crew import SECOND, SUPERVISED, Crew, Member
from tests.chaos.witness import Struck

BOTH = (SUPERVISED, SECOND)
REACH_S = 8.0
LEFT_S = 20.0  # somebody must die first, and be missed
LOOK_S = 0.02
PAUSE_S = (0.05, 1.0)
STARTING = 0.3
FROZEN_S = (10.5, 13.0)  # past the 10 s after which Postgres ends the session of a silent owner
SHARES = {"random": 9, "step": 9, "both": 1, "postgres": 1.5, "kafka": 1.5, "wire": 2.5, "door": 1.0}
# Where a process that wakes up late could do harm; None is anywhere.
FREEZES = (None, "intent.written", "intent.committed", "post.ready", "post.written", "post.answered", "outcome.written")


@dataclass
class Lashes:
    """The blows of one round. `steps` are those whose turn it is."""

    crew: Crew
    armed: Armed
    rng: random.Random
    steps: list[str]
    freezes: bool = False
    struck: list[Struck] = field(default_factory=list)
    kills: Counter[str] = field(default_factory=Counter)
    at_steps: Counter[str] = field(default_factory=Counter)
    never: list[str] = field(default_factory=list)
    frozen: int = 0

    async def run(self, kills: int) -> None:
        async with asyncio.TaskGroup() as group:
            if self.freezes:
                group.create_task(self._freeze(self.rng.uniform(1, 6), self.rng.choice(FREEZES)))
            while self.kills.total() < kills:
                await asyncio.sleep(self.rng.uniform(*PAUSE_S))
                [kind] = self.rng.choices(list(SHARES), list(SHARES.values()))
                await getattr(self, f"_{kind}")()
        await self.crew.all_work()

    async def _random(self) -> None:
        """One that works, or, now and then, one that has only begun to start."""
        working = await self.crew.some_works()
        starting = [m for m in self.crew.members if not m.works and not m.frozen and self.crew.runs(m)]
        member = self.rng.choice(starting if starting and self.rng.random() < STARTING else working)
        self._kills("dispatcher", member.name, self.crew.kill(member))

    async def _both(self) -> None:
        await self.crew.some_works()
        for member in self.crew.members:
            if self.crew.runs(member):
                self._kills("dispatcher", member.name, self.crew.kill(member))

    async def _step(self) -> None:
        if not self.steps:
            return await self._random()
        await self.crew.some_works()
        step = self.steps.pop()
        if (member := await self._come_to(step, "KILL")) is None:
            self.never.append(step)
            return None
        self._kills("dispatcher", member.name, time.monotonic())
        self.at_steps[step] += 1
        member.ready = False
        return None

    async def _come_to(self, step: str, signal: str) -> Member | None:
        """The dispatcher that came to the step; None when none did."""
        left = step.startswith("left.")
        name, deadline = f"{SUPERVISED}.{step}", time.monotonic() + (LEFT_S if left else REACH_S)
        pids = {member.pid: member for member in self.crew.members}
        self.armed.arm(name, signal)
        if left:  # nothing is, unless somebody died
            await self._random()
        while time.monotonic() < deadline:
            pids |= {member.pid: member for member in self.crew.members}
            if (pid := self.armed.taken(name)) is not None:
                return pids[pid]
            await asyncio.sleep(LOOK_S)
        self.armed.disarm(name)
        return None

    async def _postgres(self) -> None:
        await self._part("postgres", BOTH)

    async def _kafka(self) -> None:
        await self._part("kafka", ())

    async def _part(self, part: str, wires: tuple[str, ...]) -> None:
        await self.crew.some_works()
        if pids := processes.of(self.crew.running.home, part):
            at = time.monotonic()
            processes.kill(pids)
            self.kills[part] += 1
            self.struck.append(Struck(f"kill of {part}", wires, at))

    async def _wire(self) -> None:
        """The connections of one dispatcher to the carrier, or half of them."""
        member = self.rng.choice(await self.crew.some_works())
        half = self.rng.random() < 0.5
        member.wire.cut(lambda: not half or self.rng.random() < 0.5)
        self.kills["wire"] += 1
        self.struck.append(Struck("cut of a wire", (member.name,), time.monotonic()))

    async def _door(self) -> None:
        """The carrier's connections to our webhooks."""
        await self.crew.some_works()
        self.crew.door.cut()
        self.kills["door"] += 1

    async def _freeze(self, after_s: float, step: str | None) -> None:
        """One dispatcher falls asleep, at a step or anywhere, and wakes when it is no owner any more."""
        await asyncio.sleep(after_s)
        member = self.rng.choice(await self.crew.some_works())
        if step is None:
            at = self.crew.freeze(member)
        else:
            found = await self._come_to(step, "STOP")
            if found is None:
                return
            member, at = found, time.monotonic()
            member.frozen = True
        pid = member.pid
        if pid is None:
            return
        self.struck.append(Struck(f"froze at {step or 'random'}", (member.name,), at))
        self.frozen += 1
        await asyncio.sleep(self.rng.uniform(*FROZEN_S))
        self.crew.wake(member, pid)

    def _kills(self, what: str, name: str, at: float) -> None:
        self.kills[what] += 1
        self.struck.append(Struck(f"kill of {what}", (name,), at))


def by_turns(seed: int, number: int, count: int) -> list[str]:
    """`count` steps for the round of this number: every step once before any comes again, whatever the round."""
    first, found = (number - 1) * count, list[str]()
    for deck in range(first // len(DISPATCHER), (first + count) // len(DISPATCHER) + 1):
        found += random.Random(f"{seed}/deck {deck}").sample(DISPATCHER, len(DISPATCHER))
    start = first % len(DISPATCHER)
    return found[start : start + count][::-1]
