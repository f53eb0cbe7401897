"""A story's account: its people, its numbers, its campaigns, the carrier, and what may be held against what."""

import asyncio
import csv
import io
import itertools
import os
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import aiohttp
import orjson

from tests.e2e.people import Campaign, User
from tests.e2e.running import Running

DEADLINE_S = float(os.environ.get("E2E_DEADLINE_S", "40"))
POLL_S = 0.1
LEAVES = (
    "unprocessed",
    "waiting",
    "suppressed",
    "dropped",
    "delivered",
    "failed",
    "awaiting",
    "unconfirmed",
    "unknown",
)
COLUMNS = [
    "recipient_id", "phone", "first_name", "last_name", "state", "delivery", "reason_code", "reason", "advice",
    "processed_at", "processed_by", "due_at", "released_at", "sent_at", "accepted_at", "delivered_at", "carrier_code",
    "carrier_message_id", "segments", "opted_out_at",
]  # fmt: skip
EXPLAINED = ("suppressed", "dropped", "failed", "unknown")
AREAS = ("212", "213", "305", "312", "404", "415", "503", "617", "713", "202")

# Every call takes a street of its own, so that no two stories text the same person.
_streets = itertools.cycle(
    [(a, e) for e in random.sample(range(230, 990), 700) if e % 100 != 11 and e != 555 for a in AREAS]
)


class Story:
    """One account on the running stack."""

    user_type = User

    def __init__(self, running: Running, account: str, tokens: dict[str, str], http: aiohttp.ClientSession) -> None:
        self.running, self.account, self.http = running, account, http
        self._tokens = tokens
        self.carrier = running.url("CARRIER_PORT")
        self.polls = 0

    # --- people and campaigns ------------------------------------------------------------------------

    async def user(self, name: str, role: str = "sender", account: str | None = None) -> User:
        account = account or self.account
        key = f"{account}/{role}/{name}"
        if key not in self._tokens:
            self._tokens[key] = await asyncio.to_thread(self.running.token, name, role, account)
        return self.user_type(name, self.running.url(), self._tokens[key], self.http)

    async def users(self, *asked: tuple[str, str]) -> list[User]:
        return list(await asyncio.gather(*(self.user(name, role) for name, role in asked)))

    async def manager(self) -> User:
        return await self.user("Mia", "manager")

    def numbers(self, count: int = 1) -> list[str]:
        """Healthy people nobody else texts."""
        area, exchange = next(_streets)
        return [f"+1{area}{exchange}{line:04d}" for line in range(1000, 1000 + count)]

    def number(self, ending: str = "1000") -> str:
        """One person; 0001 to 0019 have the simulator's habits."""
        area, exchange = next(_streets)
        return f"+1{area}{exchange}{ending}"

    async def campaign(
        self, numbers: Iterable[str] = (), text: str = "Hello.", scheduled_for: datetime | None = None, **more: Any
    ) -> Campaign:
        """A campaign with these people on its list."""
        manager = await self.manager()
        asked: dict[str, Any] = {"name": f"{self.account} {random.randrange(10**9)}", "text": text, **more}
        if scheduled_for is not None:
            asked["scheduled_for"] = scheduled_for.isoformat()
        made = await manager.ok("POST", "/campaigns", json=asked)
        campaign = Campaign(made["campaign_id"], made["name"], made["sender"])
        if numbers := list(numbers):
            got = await self.imports(campaign, "phone\n" + "\n".join(numbers) + "\n")
            assert got == {"added": len(numbers), "duplicates": 0, "rejected": 0, "rejects": []}
        return campaign

    async def imports(self, campaign: Campaign, content: str | bytes) -> dict[str, Any]:
        data = content.encode() if isinstance(content, str) else content
        path = f"/campaigns/{campaign.id}/recipients"
        manager = await self.manager()
        got: dict[str, Any] = await manager.ok("POST", path, data=data, headers={"Content-Type": "text/csv"})
        return got

    async def sending(self, name: str, campaign: Campaign) -> User:
        """A user who has started sending the campaign."""
        user = await self.user(name)
        answer = await user.starts(campaign, take_over=True)
        assert answer.status == 200, answer
        return user

    # --- the carrier ---------------------------------------------------------------------------------

    async def faults(self, **faults: Any) -> None:
        async with self.http.put(f"{self.carrier}/simulator/faults", json=faults) as answer:
            assert answer.status == 200, await answer.text()

    async def replies(self, number: str, to: str, body: str) -> int:
        """A person's reply; the webhook's status."""
        asked = {"from": number, "to": to, "body": body}
        async with self.http.post(f"{self.carrier}/simulator/inbound", json=asked) as answer:
            return answer.status

    async def ledger(self, numbers: Iterable[str]) -> list[dict[str, Any]]:
        """Every send request to these people."""
        wanted = set(numbers)
        async with self.http.get(f"{self.carrier}/simulator/ledger") as answer:
            lines = map(orjson.loads, (await answer.read()).splitlines())
        return [line for line in lines if line["to"] in wanted]

    async def texted(self, numbers: Iterable[str]) -> Counter[str]:
        """How many texts each of these people got; held again against the ledger when all stories are told."""
        numbers = list(numbers)
        found = Counter(line["to"] for line in await self.ledger(numbers) if line["accepted"])
        FOR_GOOD.update({number: (found[number], self.account) for number in numbers})
        return found

    # --- what is shown -------------------------------------------------------------------------------

    async def progress(self, campaign: Campaign) -> dict[str, Any]:
        """Progress, which adds up whenever it is asked for."""
        manager = await self.manager()
        found: dict[str, Any] = await manager.ok("GET", f"/campaigns/{campaign.id}/progress")
        self.polls += 1
        assert adds_up(found), found
        return found

    async def settles(self, campaign: Campaign, deadline_s: float = DEADLINE_S, **leaves: int) -> dict[str, Any]:
        """Progress once it has come to these leaves (the others 0); then the report says the same of everyone."""
        wanted = {leaf: leaves.get(leaf, 0) for leaf in LEAVES}
        last: dict[str, Any] = {}

        async def there() -> bool:
            last.update(await self.progress(campaign))
            return all(last[leaf] == n for leaf, n in wanted.items())

        await until(there, lambda: f"{ {leaf: last[leaf] for leaf in LEAVES} } never came to {wanted}", deadline_s)
        states = Counter(row["state"] for row in await self.report(campaign))
        assert states == {leaf: n for leaf, n in wanted.items() if n}
        return last

    async def report(self, campaign: Campaign) -> list[dict[str, str]]:
        """The recipient report, its columns and its words checked; the list's own columns come last."""
        manager = await self.manager()
        content: bytes = await manager.ok("GET", f"/campaigns/{campaign.id}/report.csv")
        header, *rows = csv.reader(io.StringIO(content.decode()))
        assert header[: len(COLUMNS)] == COLUMNS
        found = [dict(zip(header, row, strict=True)) for row in rows]
        for row in found:
            assert not row["phone"] or row["recipient_id"] == campaign.rid(row["phone"])  # none: erased
            assert row["delivery"] == delivery(row["state"]), row
            if row["state"] in EXPLAINED:
                assert row["reason_code"] and row["reason"], row
        return found

    async def row(self, campaign: Campaign, number: str) -> dict[str, str]:
        [row] = [row for row in await self.report(campaign) if row["phone"] == number]
        return row

    async def timeline(self, campaign: Campaign, number: str) -> list[dict[str, Any]]:
        manager = await self.manager()
        path = f"/campaigns/{campaign.id}/recipients/{campaign.rid(number)}/timeline"
        events: list[dict[str, Any]] = (await manager.ok("GET", path))["events"]
        return events


# number -> (texts, account): what a story has seen at its end must still be so when all of them are over.
FOR_GOOD: dict[str, tuple[int, str]] = {}


def adds_up(p: dict[str, Any]) -> bool:
    """The sums of Progress."""
    return bool(
        p["recipients"] == p["unprocessed"] + p["processed"]
        and p["processed"] == p["waiting"] + p["suppressed"] + p["dropped"] + p["sent"]
        and p["sent"] == p["delivered"] + p["not_delivered"]
        and p["not_delivered"] == p["failed"] + p["awaiting"] + p["unconfirmed"] + p["unknown"]
        and p["failed"] == sum(p["failed_by_reason"].values())
    )


def delivery(state: str) -> str:
    """The report's word for a state."""
    if state in ("unprocessed", "waiting", "suppressed", "dropped"):
        return ""
    return "delivered" if state == "delivered" else "not delivered"


def moment(text: str) -> datetime:
    """An RFC 3339 time in UTC."""
    found = datetime.fromisoformat(text)
    assert found.utcoffset() == UTC.utcoffset(None), text
    return found


async def until(
    true: Callable[[], Awaitable[bool]], what: Callable[[], str] | str, deadline_s: float = DEADLINE_S
) -> None:
    """Polls until it is true; fails with what was waited for."""
    deadline = asyncio.get_running_loop().time() + deadline_s
    while not await true():
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError(what if isinstance(what, str) else what())
        await asyncio.sleep(POLL_S)


async def until_passed(time: datetime) -> None:
    """Waits for a moment of the world's clock."""
    while (left := (time - datetime.now(UTC)).total_seconds()) > 0:
        await asyncio.sleep(min(left + 0.001, POLL_S))
