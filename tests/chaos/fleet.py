"""Small campaigns by the dozen, made and ended under fire, and what must have become of each."""

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from tests.chaos import logs
from tests.chaos.patience import PatientStory
from tests.e2e.people import Campaign, User
from tests.e2e.story import LEAVES, moment, until_passed

SETTLE_S = 120.0  # without any campaign having come to its end
AT_ONCE = 12
STREET = 2000

Line = dict[str, Any]


@dataclass
class Small:
    """A campaign with a few people, and what its users were answered."""

    campaign: Campaign
    t: datetime | None
    numbers: list[str]
    due: dict[str, datetime] = field(default_factory=dict)  # SENT, answered 200
    asked_at: datetime | None = None  # when END was sent first
    end: dict[str, Any] | None = None  # what it was answered

    @property
    def early(self) -> bool:
        """END was answered with a time before T."""
        return self.t is not None and self.end is not None and moment(self.end["ended_at"]) < self.t

    @property
    def leaves(self) -> dict[str, int]:
        """What Progress must come to."""
        sent = len(self.due)
        mine = {"unprocessed": len(self.numbers) - sent, "dropped" if self.early else "delivered": sent}
        return {leaf: mine.get(leaf, 0) for leaf in LEAVES}


def wrong(small: Small, lines: Iterable[Line]) -> list[str]:
    """Every way in which the ledger's lines about its people are not as they must be."""
    lines = list(lines)
    accepted = Counter(line["to"] for line in lines if line["accepted"])
    asked = {line["to"] for line in lines}
    found = {
        "texted twice": {number for number, count in accepted.items() if count > 1},
        "asked for though nobody SENT them": asked - small.due.keys(),
        "asked for though END came before T": asked if small.early else set(),
        "SENT as after T, but END was before it": {n for n, due in small.due.items() if small.early and due != small.t},
        "lost": set() if small.early else small.due.keys() - accepted.keys(),
        "texted before due": {
            ln["to"] for ln in lines if ln["to"] in small.due and moment(ln["received_at"]) < small.due[ln["to"]]
        },
    }
    about = f"{small.campaign.id}, T {small.t}, END {small.end}"
    return [f"{len(who)} {what}: {sorted(who)[:3]} of {about}" for what, who in found.items() if who]


class Fleet:
    """The campaigns of one story. `address` is where people reach send-intake at the moment."""

    def __init__(self, story: PatientStory) -> None:
        self.story = story
        self.address = story.running.url()
        self.all: list[Small] = []
        self._people: list[str] = []

    async def senders(self, count: int) -> list[User]:
        await self.story.user("Mia", "manager")
        return await self.story.users(*((f"Sender {n}", "sender") for n in range(1, count + 1)))

    async def make(self, sender: User, t: datetime | None, sent: int, unsent: int) -> Small | None:
        """A campaign whose first people are SENT; None when nobody answered before T had come."""
        mia, sender = await self._here("Mia", "manager"), replace(sender, base=self.address)
        asked: dict[str, Any] = {"name": f"small {len(self.all)}", "text": "Hello."}
        if t is not None:
            asked["scheduled_for"] = t.isoformat()
        made = await mia.call("POST", "/campaigns", json=asked)
        if made.status == 422 and t is not None and datetime.now(UTC) >= t:
            return None
        assert made.status == 201, made
        campaign = Campaign(made.body["campaign_id"], made.body["name"], made.body["sender"])
        small = Small(campaign, t, self._numbers(sent + unsent))
        self.all.append(small)
        await self._list(mia, small)
        started = await sender.starts(campaign, take_over=True)
        assert started.status == 200, started
        first = small.numbers[:sent]
        for number, result in zip(first, await sender.sends_all(campaign, first), strict=True):
            assert result["status"] == 200, result
            small.due[number] = moment(result["due_at"])
        return small

    async def _list(self, mia: User, small: Small) -> None:
        path, csv = f"/campaigns/{small.campaign.id}/recipients", "\n".join(["phone", *small.numbers])
        got = await mia.ok("POST", path, data=csv.encode(), headers={"Content-Type": "text/csv"})
        # A repeat whose first answer was lost finds them listed.
        assert got["added"] + got["duplicates"] == len(small.numbers), got

    async def end(self, small: Small, at: datetime) -> None:
        """END at this time of the world's clock; with no answer it is sent again, and what that answers counts."""
        await until_passed(at)
        mia = await self._here("Mia", "manager")
        small.asked_at = datetime.now(UTC)
        answer = await mia.ends(small.campaign)
        assert answer.status == 200, answer
        small.end = answer.body

    async def judge(self) -> list[str]:
        """Waits until all has come to its end, then: ledger, Progress, repeated ENDs and the log tell the same."""
        problems = await self._settle()
        by_number = defaultdict(list)
        for line in await self.story.ledger(number for small in self.all for number in small.numbers):
            by_number[line["to"]].append(line)
        for small in self.all:
            problems += wrong(small, (line for number in small.numbers for line in by_number[number]))
        await _each(self.all, lambda small: self._repeat_end(small, problems))
        return problems

    async def log(self) -> logs.Outcomes:
        """What the log says of everyone, and whether that is everyone whom our users SENT."""
        status = await asyncio.to_thread(self.story.running.status)
        people = {small.campaign.rid(number) for small in self.all for number in small.numbers}
        told = logs.outcomes(await logs.read(status["kafka_bootstrap"]), people)
        missing = [n for small in self.all for n in small.due if small.campaign.rid(n) not in told.of]
        if missing:
            told.problems.append(f"{len(missing)} were SENT and have no event in releases: {missing[:3]}")
        return told

    async def watch(self, rng: random.Random) -> None:
        """Every answer of Progress adds up (`progress` asserts it), whatever happens."""
        while True:
            if self.all:
                await self._progress(rng.choice(self.all))
            await asyncio.sleep(0.2)

    async def _settle(self) -> list[str]:
        loop, waiting = asyncio.get_running_loop(), list(self.all)
        deadline, last = loop.time() + SETTLE_S, dict[str, str]()
        while waiting:
            still: list[Small] = []

            async def look(small: Small, still: list[Small] = still) -> None:
                progress = await self._progress(small)
                found = {leaf: progress.get(leaf) for leaf in LEAVES}
                if found != small.leaves:
                    still.append(small)
                    last[small.campaign.id] = f"{found} is not {small.leaves}"

            await _each(waiting, look)
            if len(still) < len(waiting):
                deadline = loop.time() + SETTLE_S
            elif loop.time() > deadline:
                return [f"does not settle: {small.campaign.id}: {last[small.campaign.id]}" for small in still[:5]]
            waiting = still
            await asyncio.sleep(0.5)
        return []

    async def _progress(self, small: Small) -> dict[str, Any]:
        """{} while projections has not heard of it."""
        mia = await self._here("Mia", "manager")
        answer = await mia.call("GET", f"/campaigns/{small.campaign.id}/progress")
        if answer.status == 404:
            return {}
        return await self.story.progress(small.campaign)

    async def _repeat_end(self, small: Small, problems: list[str]) -> None:
        if small.end is not None:
            mia = await self._here("Mia", "manager")
            again = await mia.ends(small.campaign)
            if (again.status, again.body) != (200, small.end):
                problems.append(f"END was answered {small.end}, its repeat {again}")

    async def _here(self, name: str, role: str) -> User:
        return replace(await self.story.user(name, role), base=self.address)

    def _numbers(self, count: int) -> list[str]:
        if len(self._people) < count:
            self._people = self.story.numbers(STREET)
        taken, self._people = self._people[:count], self._people[count:]
        return taken


async def _each(smalls: Iterable[Small], work: Callable[[Small], Awaitable[None]]) -> None:
    """A few at a time."""
    todo = iter(list(smalls))

    async def hand() -> None:
        for small in todo:
            await work(small)

    await asyncio.gather(*(hand() for _ in range(AT_ONCE)))
