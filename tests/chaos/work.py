"""The work that goes on meanwhile: three campaigns, three users, people who opt out, an END."""

import asyncio
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from tests.chaos.patience import PatientStory
from tests.e2e.people import Campaign, User
from tests.e2e.story import moment, until, until_passed

PACE_S = 0.06


@dataclass
class Size:
    """How many people the campaigns have, and how far T is away."""

    unscheduled: int = 250
    scheduled: int = 250
    ended: int = 80
    lead_s: float = 6.0


@dataclass
class Work:
    """One campaign, and what its people were answered."""

    title: str
    campaign: Campaign
    numbers: list[str]
    t: datetime | None = None
    due: dict[str, datetime] = field(default_factory=dict)  # SENT, answered 200
    opted_out: set[str] = field(default_factory=set)  # before their SEND
    stopped: dict[str, datetime] = field(default_factory=dict)  # meanwhile: when it was answered
    ended_at: datetime | None = None

    @property
    def unsent(self) -> set[str]:
        return set(self.numbers) - self.due.keys()

    @property
    def drops(self) -> bool:
        return self.t is not None and self.ended_at is not None and self.ended_at < self.t


@dataclass
class Works:
    story: PatientStory
    rng: random.Random
    size: Size
    all: list[Work] = field(default_factory=list)

    async def prepare(self) -> None:
        size = self.size
        await self.story.users(("Mia", "manager"), ("Sam", "sender"), ("Sue", "sender"), ("Tom", "sender"))
        t = datetime.now(UTC) + timedelta(seconds=size.lead_s)
        for title, count, time in (
            ("unscheduled", size.unscheduled, None),
            ("scheduled", size.scheduled, t),
            ("ended", size.ended, t),
        ):
            numbers = self.story.numbers(count)
            campaign = await self.story.campaign(numbers, scheduled_for=time)
            self.all.append(Work(title, campaign, numbers, time))
        await self._opt_out(self.all[0])
        for work in self.all:
            await self._known(work)

    @property
    def t(self) -> datetime:
        assert self.all[1].t is not None
        return self.all[1].t

    @property
    def pressed(self) -> int:
        return sum(len(work.due) for work in self.all)

    @property
    def wanted(self) -> int:
        return sum(_wanted(work) for work in self.all)

    async def run(self) -> None:
        unscheduled, scheduled, ended = self.all
        async with asyncio.TaskGroup() as group:
            group.create_task(self._press("Sam", unscheduled))
            group.create_task(self._press("Sue", scheduled))
            group.create_task(self._press_and_end("Tom", ended))
            group.create_task(self._stop_some(unscheduled))

    async def _known(self, work: Work) -> None:
        """Projections knows the list: before that it says 404 for a campaign it has not heard of."""

        async def known() -> bool:
            answer = await (await self.story.manager()).call("GET", f"/campaigns/{work.campaign.id}/progress")
            return answer.status == 200 and bool(answer.body["recipients"] == len(work.numbers))

        await until(known, "a new campaign is known to projections")

    async def _opt_out(self, work: Work) -> None:
        manager = await self.story.manager()
        for number in self.rng.sample(work.numbers[: _wanted(work)], 4):
            await manager.ok("POST", "/opt-outs", json={"phone": number, "reason": "asked"})
            work.opted_out.add(number)

    async def _stop_some(self, work: Work) -> None:
        """Replies while messages are on their way."""
        for number in self.rng.sample(sorted(set(work.numbers) - work.opted_out), 6):
            await asyncio.sleep(self.rng.uniform(0, 10 * PACE_S))
            await self.story.stops(number, work.campaign.sender)
            work.stopped[number] = datetime.now(UTC)

    async def _press(self, name: str, work: Work) -> None:
        """Row by row with several hands, and some together as after a lost connection; the last tenth never."""
        user = await self.story.sending(name, work.campaign)
        todo = work.numbers[: _wanted(work)]
        together, single = todo[: len(todo) // 3], iter(todo[len(todo) // 3 :])

        async def hand() -> None:
            for number in single:
                await self._send(user, work, number)
                await asyncio.sleep(self.rng.uniform(0, PACE_S))

        async def batches() -> None:
            for at in range(0, len(together), 20):
                await self._send_together(user, work, together[at : at + 20])
                await asyncio.sleep(self.rng.uniform(0, 10 * PACE_S))

        await asyncio.gather(batches(), hand(), hand())

    async def _press_and_end(self, name: str, work: Work) -> None:
        await self._press(name, work)
        manager = await self.story.manager()
        await until_passed(self.t - timedelta(seconds=self.rng.uniform(-0.5, 2.5)))
        answer = await manager.ends(work.campaign)
        assert answer.status == 200, answer
        work.ended_at = moment(answer.body["ended_at"])

    async def _send(self, user: User, work: Work, number: str) -> None:
        answer = await user.sends(work.campaign, number)
        assert answer.status == 200, answer
        work.due[number] = moment(answer.body["due_at"])

    async def _send_together(self, user: User, work: Work, numbers: list[str]) -> None:
        for number, result in zip(numbers, await user.sends_all(work.campaign, numbers), strict=True):
            assert result["status"] == 200, result
            work.due[number] = moment(result["due_at"])


def _wanted(work: Work) -> int:
    return len(work.numbers) * 9 // 10
