"""kill -9 of projections, again and again under load: what people read is what the log says and what the rows count."""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from handsent import stack
from kernel.database import Connection, connect
from projections.store import drifted

from tests.chaos import processes
from tests.chaos.armed import KERNEL_STEPS, Armed
from tests.chaos.patience import AWAY, PatientStory
from tests.chaos.rounds import Told, generator, well
from tests.e2e.people import Campaign, User
from tests.e2e.story import LEAVES, until

SERVICE = "projections"
START_S = 60.0
REACH_S = 20.0
SETTLE_S = 120.0
VERIFY_S = 600.0
LOOK_EVERY = 25  # kills
# The carrier refuses some, forgets some, repeats and shuffles its receipts: each recipient is folded several times.
FAULTS: dict[str, Any] = {
    "latency_ms": 10,
    "fail_after_accept": 0.03,
    "reject": {"21211": 0.05},
    "receipts": {"delay_ms": 300, "repeat": 0.3, "shuffle": 0.3, "failed": {"30003": 0.1, "30007": 0.05}},
}


@dataclass(frozen=True)
class Size:
    kills: int = 100
    hands: int = 3
    people: tuple[int, int] = (20, 60)  # of each campaign
    pause_s: tuple[float, float] = (0.0, 1.0)  # from its first batch to the next kill
    rest_s: tuple[float, float] = (1.0, 3.0)  # of each hand between campaigns
    enough: int = 500  # people whom the kills have to show something of


@dataclass
class Listed:
    """A campaign, and how much of it our users were told is done."""

    campaign: Campaign
    people: int
    sent: int


@dataclass
class Folds:
    story: PatientStory
    armed: Armed
    rng: random.Random
    size: Size
    all: list[Listed] = field(default_factory=list)
    killed: Counter[str] = field(default_factory=Counter)
    looks: int = 0
    problems: list[str] = field(default_factory=list)

    async def run(self) -> None:
        over = asyncio.Event()
        senders = await self.story.users(*((f"Folder {n}", "sender") for n in range(self.size.hands)))
        await self.story.manager()
        await self.story.faults(**FAULTS)
        watching = asyncio.create_task(self._watch())
        try:
            async with asyncio.TaskGroup() as group:
                for sender in senders:
                    group.create_task(self._load(sender, over))
                await self._kills()
                over.set()
            await self.story.faults()
            await self._settle()
        finally:
            watching.cancel()
            [watched] = await asyncio.gather(watching, return_exceptions=True)
        if not isinstance(watched, asyncio.CancelledError):
            self.problems.append(f"while Progress was watched: {watched!r}")
        await self._look("at the end")
        for listed in self.all:
            await self._judge(listed)

    async def _kills(self) -> None:
        steps = self._steps()
        for number in range(1, self.size.kills + 1):
            await self._folds_on()
            await asyncio.sleep(self.rng.uniform(*self.size.pause_s))
            step = next(steps) if self.rng.random() < 0.5 else None
            if step is None or not await self._dies_at(step):
                processes.kill(processes.of(self.story.running.home, SERVICE))
                step = "at any time"
            self.killed[step] += 1
            if number % LOOK_EVERY == 0:
                await self._look(f"after {number} kills")
        await self._folds_on()

    def _steps(self) -> Iterator[str]:
        while True:
            yield from self.rng.sample(KERNEL_STEPS["batch"], len(KERNEL_STEPS["batch"]))

    async def _dies_at(self, step: str) -> bool:
        """Whether it came to the step and was killed there."""
        named = f"{SERVICE}.{step}"
        self.armed.arm(named)

        async def taken() -> bool:
            return self.armed.taken(named) is not None

        try:
            await until(taken, named, REACH_S)
        except AssertionError:
            self.armed.disarm(named)
            return await taken()
        return True

    async def _folds_on(self) -> None:
        """It runs again, and has its partitions from Kafka: that the one before is gone is known after its session."""
        await self._runs()
        before = await self._folded()

        async def more() -> bool:
            return await self._folded() > before

        await until(more, "projections folds on", START_S)

    async def _folded(self) -> int:
        """How many events are folded so far."""
        async with self._database() as connection:
            return int(await connection.fetchval("SELECT coalesce(sum(next_offset), 0) FROM offsets"))

    @asynccontextmanager
    async def _database(self) -> AsyncIterator[Connection]:
        about = stack.read(self.story.running.home)
        assert about is not None
        connection = await connect(about.settings["DATABASE_URL"], SERVICE)
        try:
            yield connection
        finally:
            await connection.close()

    async def _runs(self) -> None:
        url = f"{self.story.running.url('PROJECTIONS_PORT')}/readyz"

        async def ready() -> bool:
            try:
                async with asyncio.timeout(2), self.story.http.get(url) as answer:
                    return answer.status == 200
            except AWAY:
                return False

        await until(ready, "projections runs again", START_S)

    async def _load(self, sender: User, over: asyncio.Event) -> None:
        """Lists, presses, opt-outs, ENDs: campaigns for now and for a time."""
        manager = await self.story.manager()
        while not over.is_set():
            numbers = self.story.numbers(self.rng.randint(*self.size.people))
            t = datetime.now(UTC) + timedelta(seconds=self.rng.uniform(3, 8)) if self.rng.random() < 0.3 else None
            campaign = await self.story.campaign(numbers, scheduled_for=t)
            listed = Listed(campaign, len(numbers), 0)
            self.all.append(listed)
            for number in self.rng.sample(numbers, 2):
                await manager.ok("POST", "/opt-outs", json={"phone": number, "reason": "asked"})
            started = await sender.starts(campaign, take_over=True)
            assert started.status == 200, started
            for at in range(0, len(numbers) * 9 // 10, 10):
                results = await sender.sends_all(campaign, numbers[at : at + 10])
                assert {result["status"] for result in results} == {200}, results
                listed.sent += len(results)
            if self.rng.random() < 0.4:
                assert (await manager.ends(campaign)).status == 200
            await asyncio.sleep(self.rng.uniform(*self.size.rest_s))

    async def _watch(self) -> None:
        """Every answer of Progress adds up (`progress` asserts it), and never counts more than there are."""
        while True:
            if self.all:
                listed = self.rng.choice(self.all)
                answer = await (await self.story.manager()).call("GET", f"/campaigns/{listed.campaign.id}/progress")
                if answer.status == 200:
                    assert (await self.story.progress(listed.campaign))["recipients"] <= listed.people
            await asyncio.sleep(0.05)

    async def _settle(self) -> None:
        """All that was SENT is here and nothing is on its way; what the carrier took and forgot stays unknown."""
        manager, last = await self.story.manager(), dict[str, Any]()

        async def settled() -> bool:
            total = await manager.ok("GET", "/account/progress")
            last.update(total["all"])
            there = total["all"]["recipients"] >= sum(listed.people for listed in self.all)
            return there and not (last["waiting"] or last["awaiting"])

        await until(settled, lambda: f"does not settle: {last}", SETTLE_S)
        await well(self.story)

    async def _look(self, when: str) -> None:
        """Figures against a recount of the rows, all tables against a fold of the log."""
        self.looks += 1
        async with self._database() as connection:
            if found := await drifted(connection):
                self.problems.append(f"{when}: figures that are no recount of their rows: {found[:3]}")
        done = await asyncio.to_thread(self.story.running.handsent, "replay", "verify", "--json", within_s=VERIFY_S)
        verdict = json.loads(done.stdout) if done.stdout else {}
        if done.returncode or not verdict.get("equal"):
            self.problems.append(f"{when}: not what the log says: {done.stdout[:1000]} {done.stderr[:500]}")

    async def _judge(self, listed: Listed) -> None:
        """Progress, the report and what our users were answered tell the same."""
        progress = await self.story.progress(listed.campaign)
        rows = Counter(row["state"] for row in await self.story.report(listed.campaign))
        if rows != Counter({leaf: progress[leaf] for leaf in LEAVES if progress[leaf]}):
            self.problems.append(f"{listed.campaign.id}: report {rows}, Progress {progress}")
        if (progress["recipients"], progress["processed"]) != (listed.people, listed.sent):
            self.problems.append(f"{listed.campaign.id}: {listed.sent} of {listed.people} were SENT: {progress}")


async def play(story: PatientStory, armed: Armed, seed: int, size: Size | None = None) -> Told:
    """The kills; its problems are empty when all is as it must be."""
    began, size = time.monotonic(), size or Size()
    folds = Folds(story, armed, generator(seed, 0), size)
    await folds.run()
    people = sum(listed.sent for listed in folds.all)
    if people < size.enough:
        folds.problems.append(f"only {people} were SENT: the kills show little")
    kills = ", ".join(f"{where} {count}" for where, count in sorted(folds.killed.items()))
    line = (
        f"{folds.killed.total()} kills ({kills}); {len(folds.all)} campaigns, {people} SENT; looked at {folds.looks}"
        f" times; Progress asked {story.polls} times; {time.monotonic() - began:.0f} s"
    )
    return Told("folds", folds.problems, line)
