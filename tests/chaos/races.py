"""END against T: thousands of campaigns ended within 50 ms of it, while scheduler, relay and broker are killed."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from tests.chaos import processes
from tests.chaos.fleet import Fleet, Small
from tests.chaos.patience import PatientStory
from tests.chaos.rounds import Told, generator, well
from tests.e2e.people import User
from tests.e2e.running import Running

CLOSE = timedelta(milliseconds=50)
LEAST_SHARE = 0.1  # of ENDs on either side of T: with fewer the test would show little
# How often each is killed, relative to the others; send-intake is the relay and the clock.
KILLED = {"scheduler": 3, "send-intake": 2, "kafka": 1}


@dataclass(frozen=True)
class Size:
    """`campaigns` is how many ENDs come close to T; the lanes' waves overlap."""

    campaigns: int = 2000
    wave: int = 40
    lanes: int = 3
    hands: int = 4
    lead_s: float = 6.0
    spread_s: float = 2.0  # the Ts of a wave, so that its ENDs do not queue up behind each other
    pause_s: tuple[float, float] = (3.0, 8.0)  # between kills


@dataclass
class Races:
    fleet: Fleet
    seed: int
    size: Size
    killed: Counter[str] = field(default_factory=Counter)
    _asked: int = 0

    @property
    def close(self) -> list[Small]:
        """Those whose END was sent as close to T as meant; a wave that a kill held up misses it."""
        return [small for small in self.fleet.all if small.asked_at and small.t and _is_close(small.asked_at, small.t)]

    @property
    def most(self) -> int:
        """Where it gives up: on a machine that never comes close to T."""
        return 3 * self.size.campaigns

    async def run(self) -> None:
        senders = await self.fleet.senders(self.size.lanes * self.size.hands)
        numbers = iter(range(1, 10**6))
        killing = asyncio.create_task(self._kill())
        try:
            async with asyncio.TaskGroup() as group:
                for lane in range(self.size.lanes):
                    group.create_task(self._lane(senders[lane :: self.size.lanes], numbers))
        finally:
            killing.cancel()
            await asyncio.gather(killing, return_exceptions=True)

    async def _lane(self, senders: list[User], numbers: Iterator[int]) -> None:
        while (left := self._left()) > 0 and len(self.fleet.all) < self.most:
            count = min(left, self.size.wave)
            self._asked += count
            try:
                await self._wave(senders, generator(self.seed, next(numbers)), count)
            finally:
                self._asked -= count

    def _left(self) -> int:
        """How many more ENDs it takes: one more wave, too, if a kill held nearly all up until after T."""
        close = self.close
        left = self.size.campaigns - len(close) - self._asked
        if left > 0 or self._asked:
            return left
        early = sum(small.early for small in close)
        return self.size.wave if _one_sided(early, len(close) - early) else 0

    async def _wave(self, senders: list[User], rng: random.Random, count: int) -> None:
        start = datetime.now(UTC) + timedelta(seconds=self.size.lead_s)
        plans = [
            (
                start + timedelta(seconds=rng.uniform(0, self.size.spread_s)),
                rng.randint(2, 4),
                rng.randint(1, 2),
                # Rather early: an END takes its time, and one that meets a kill comes late; half are to beat T.
                CLOSE * rng.triangular(-0.95, 0.95, -0.95),
            )
            for _ in range(count)
        ]
        todo = iter(sorted(plans))

        async def hand(sender: User) -> None:
            for t, sent, unsent, apart in todo:
                if small := await self.fleet.make(sender, t, sent, unsent):
                    group.create_task(self.fleet.end(small, t + apart))

        async with asyncio.TaskGroup() as group:
            for sender in senders:
                group.create_task(hand(sender))

    async def _kill(self) -> None:
        rng, running = random.Random(f"{self.seed}/kills"), self.fleet.story.running
        while True:
            await asyncio.sleep(rng.uniform(*self.size.pause_s))
            [part] = rng.choices(list(KILLED), list(KILLED.values()))
            self.killed[part] += await asyncio.to_thread(_kill, running, part)


def _kill(running: Running, part: str) -> bool:
    pids = processes.of(running.home, part)
    processes.kill(pids)
    return bool(pids)


def _one_sided(early: int, late: int) -> bool:
    return min(early, late) < LEAST_SHARE * (early + late)


def _is_close(asked_at: datetime, t: datetime) -> bool:
    return abs(asked_at - t) <= CLOSE


async def play(story: PatientStory, seed: int, size: Size | None = None) -> Told:
    """The races; its problems are empty when all is as it must be."""
    began = time.monotonic()
    races = Races(Fleet(story), seed, size or Size())
    watching = asyncio.create_task(races.fleet.watch(random.Random(seed)))
    await races.run()
    watching.cancel()
    [watched] = await asyncio.gather(watching, return_exceptions=True)
    problems = [] if isinstance(watched, asyncio.CancelledError) else [f"while Progress was watched: {watched!r}"]
    problems += await races.fleet.judge()
    log = await races.fleet.log()
    await well(story)
    close, others = races.close, len(races.fleet.all) - len(races.close)
    early = [small for small in close if small.early]
    late = [small for small in close if not small.early]
    if _one_sided(len(early), len(late)):
        problems.append(f"of {len(close)} ENDs {len(early)} came before T: the races show little")
    if len(close) < races.size.campaigns / 2:
        problems.append(f"only {len(close)} of {len(races.fleet.all)} ENDs were sent close to T")
    killed = ", ".join(f"{part} {count}" for part, count in sorted(races.killed.items()))
    line = (
        f"{len(close)} ENDs sent within {CLOSE / timedelta(milliseconds=1):.0f} ms of T ({others} more not):"
        f" {len(early)} before it, whose {_sent(early)} SENT were dropped,"
        f" {len(late)} at or after it, whose {_sent(late)} SENT were delivered;"
        f" {log.line}; killed: {killed}; Progress asked {story.polls} times, {time.monotonic() - began:.0f} s"
    )
    return Told("races", problems + log.problems, line)


def _sent(smalls: list[Small]) -> int:
    return sum(len(small.due) for small in smalls)
