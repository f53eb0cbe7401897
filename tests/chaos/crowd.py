"""People by the hundred, SENT without a pause, some of whom say STOP just then."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar

import asyncpg

from tests.chaos.patience import PATIENCE_S, PatientStory
from tests.chaos.work import Work
from tests.e2e.people import User
from tests.e2e.story import moment, until

ATTEMPTS = "SELECT count(*) FROM dispatcher.attempts WHERE recipient_id = $1"
RETRY_S = 0.2

T = TypeVar("T")


@dataclass(frozen=True)
class Size:
    """`hands` users, each with campaigns of so many people one after the other, SENT so many together."""

    hands: int = 3
    people: tuple[int, int] = (80, 160)
    together: tuple[int, int] = (5, 25)
    pause_s: tuple[float, float] = (0.1, 0.7)
    stops: float = 0.06  # share of those who say STOP


@dataclass
class Crowd:
    """The load of one round. `attempts_then` is what was committed right after a person's STOP had been answered."""

    story: PatientStory
    rng: random.Random
    size: Size
    database_url: str
    all: list[Work] = field(default_factory=list)
    attempts_then: dict[str, int] = field(default_factory=dict)  # by recipient_id
    over: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def pressed(self) -> int:
        return sum(len(work.due) for work in self.all)

    async def run(self) -> None:
        """Until `over` is set."""
        await self.story.user("Mia", "manager")
        users = await self.story.users(*((f"Sender {n}", "sender") for n in range(1, self.size.hands + 1)))
        async with asyncio.TaskGroup() as group:
            for user in users:
                group.create_task(self._hand(user))

    async def _hand(self, user: User) -> None:
        while not self.over.is_set():
            work = await self._campaign(user)
            async with asyncio.TaskGroup() as stops:
                await self._press(user, work, stops)

    async def _campaign(self, user: User) -> Work:
        numbers = self.story.numbers(self.rng.randint(*self.size.people))
        campaign = await self.story.campaign(numbers)
        work = Work(f"{user.name}, campaign {len(self.all)}", campaign, numbers)
        await self._known(work)
        self.all.append(work)
        answer = await user.starts(campaign, take_over=True)
        assert answer.status == 200, answer
        return work

    async def _known(self, work: Work) -> None:
        manager = await self.story.manager()

        async def known() -> bool:
            answer = await manager.call("GET", f"/campaigns/{work.campaign.id}/progress")
            return answer.status == 200 and bool(answer.body["recipients"] == len(work.numbers))

        await until(known, "a new campaign is known to projections", PATIENCE_S)

    async def _press(self, user: User, work: Work, stops: asyncio.TaskGroup) -> None:
        todo = list(work.numbers)
        while todo and not self.over.is_set():
            count = self.rng.randint(*self.size.together)
            together, todo = todo[:count], todo[count:]
            for number in together:
                if self.rng.random() < self.size.stops:
                    stops.create_task(self._stop(work, number, self.rng.uniform(0, 0.5)))
            await asyncio.sleep(self.rng.uniform(*self.size.pause_s))
            for number, result in zip(together, await user.sends_all(work.campaign, together), strict=True):
                assert result["status"] == 200, result
                work.due[number] = moment(result["due_at"])

    async def _stop(self, work: Work, number: str, after_s: float) -> None:
        """STOP about when SEND is pressed. What is committed when it has been answered is all there may ever be."""
        await asyncio.sleep(after_s)
        await self.story.stops(number, work.campaign.sender)
        work.stopped[number] = datetime.now(UTC)
        rid = work.campaign.rid(number)
        self.attempts_then[rid] = await self._asked(lambda db: db.fetchval(ATTEMPTS, rid))

    async def attempts_now(self) -> dict[str, int]:
        """The same of all of them, today."""

        async def count(db: asyncpg.Connection) -> dict[str, int]:
            return {rid: await db.fetchval(ATTEMPTS, rid) for rid in self.attempts_then}

        return await self._asked(count)

    async def _asked(
        self, ask: Callable[[asyncpg.Connection], Awaitable[dict[str, int] | int]]
    ) -> "dict[str, int] | int":
        """The database's answer, asked until it gives one."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                db = await asyncpg.connect(self.database_url, timeout=5)
                try:
                    return await ask(db)
                finally:
                    await db.close(timeout=2)
            except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError):
                assert time.monotonic() < deadline, "Postgres does not come back"
                await asyncio.sleep(RETRY_S)
