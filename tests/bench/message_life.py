"""From SEND to delivered and projected: how many a second, what each part pays, how soon the carrier is called."""

import asyncio
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import aiohttp
import psutil

from schemas.identity import recipient_id
from tests.bench.load import Press, Pressed, press_all
from tests.bench.stack import Running

TEXT = "Hello {first_name}, see you on Tuesday at the hall? Reply STOP to end."
CAMPAIGNS = 4
HANDS = 64
LAG_EVERY_S = 0.25
EVENTS = 5  # of a message: processed, released, attempted, accepted, delivered
AREAS = ("212", "213", "305", "312", "404", "415", "503", "617", "713", "202")
OURS = ("send-intake", "scheduler", "dispatcher", "projections", "postgres", "kafka")


@dataclass(frozen=True)
class Result:
    """`per_s`: messages from the first press to the last one seen delivered in Progress.

    `lag`: how many events projections had still to fold, asked now and then while people pressed, sorted.
    """

    messages: int
    per_s: float
    cpu_us: dict[str, float]
    lag: list[int]

    @property
    def events_per_s(self) -> float:
        return self.per_s * EVENTS


class Bench:
    """Campaigns with their lists, one user sending each."""

    def __init__(self, stack: Running, session: aiohttp.ClientSession) -> None:
        self._stack, self._session = stack, session
        self._base = f"http://127.0.0.1:{stack.port('INTAKE_PORT')}/api/v1"
        self.manager = stack.token("bench manager", "manager", "bench")
        self._users = [stack.token(f"bench sender {n}", "sender", "bench") for n in range(CAMPAIGNS)]
        self._made = 0

    async def call(self, method: str, path: str, token: str, **kwargs: Any) -> Any:
        headers = {"Authorization": f"Bearer {token}"}
        async with self._session.request(method, self._base + path, headers=headers, **kwargs) as answer:
            assert answer.status < 300, await answer.text()
            return await answer.json()

    def _numbers(self, count: int) -> list[str]:
        """Numbers no earlier call gave, none of which misbehaves."""
        first, self._made = self._made, self._made + count
        return [f"+1{AREAS[n % 10]}{300 + n // 80000}{1000 + n // 10 % 8000:04d}" for n in range(first, first + count)]

    async def presses(self, count: int) -> tuple[list[str], list[Press]]:
        """New campaigns with `count` recipients in all, ready to be SENT; their ids, and the presses to make."""
        campaigns, presses = [], []
        for user in self._users:
            campaign = await self.call("POST", "/campaigns", self.manager, json={"name": "bench", "text": TEXT})
            numbers = self._numbers(count // CAMPAIGNS)
            content = "phone,first_name\n" + "".join(f"{number},Ada\n" for number in numbers)
            cid = campaign["campaign_id"]
            await self.call("POST", f"/campaigns/{cid}/recipients", self.manager, data=content.encode())
            await self.call("POST", f"/campaigns/{cid}/sending", user, json={"take_over": True})
            campaigns.append(cid)
            presses.append([Press(cid, recipient_id(cid, number), number, user) for number in numbers])
        for cid in campaigns:
            await self._until(cid, "recipients", count // CAMPAIGNS)
        return campaigns, [press for four in zip(*presses, strict=True) for press in four]

    async def _until(self, campaign_id: str, name: str, value: int) -> None:
        deadline = time.monotonic() + 300
        while (found := await self.call("GET", f"/campaigns/{campaign_id}/progress", self.manager))[name] != value:
            assert time.monotonic() < deadline, found
            await asyncio.sleep(0.1)

    async def throughput(self, count: int) -> Result:
        campaigns, presses = await self.presses(count)
        before, own = self._stack.cpu_s(), psutil.Process().cpu_times()
        began = time.monotonic()
        lag: list[int] = []
        watching = asyncio.create_task(self._watch_lag(lag))
        done = await press_all(self._stack.port("INTAKE_PORT"), presses, HANDS)
        watching.cancel()
        lag.append(await self._lag())
        assert not done.refused, done.refused[0]
        for cid in campaigns:
            await self._until(cid, "delivered", count // CAMPAIGNS)
        took = time.monotonic() - began
        after, own_after = self._stack.cpu_s(), psutil.Process().cpu_times()
        cpu = {name: (after[name] - before[name]) / count * 1e6 for name in before}
        cpu["load"] = (own_after.user + own_after.system - own.user - own.system) / count * 1e6
        return Result(count, count / took, cpu, sorted(lag))

    async def _watch_lag(self, into: list[int]) -> None:
        while True:
            into.append(await self._lag())
            await asyncio.sleep(LAG_EVERY_S)

    async def _lag(self) -> int:
        url = f"http://127.0.0.1:{self._stack.port('PROJECTIONS_PORT')}/status"
        async with self._session.get(url) as answer:
            lag: int = (await answer.json())["lag"]
            return lag

    async def latency_ms(self, per_s: float, seconds: float) -> list[float]:
        """From each press to the carrier's ledger, at a steady rate, in ms, sorted."""
        campaigns, presses = await self.presses(max(CAMPAIGNS, int(per_s * seconds) // CAMPAIGNS * CAMPAIGNS))
        done: Pressed = await press_all(self._stack.port("INTAKE_PORT"), presses, HANDS, per_s)
        for cid in campaigns:
            await self._until(cid, "delivered", len(presses) // CAMPAIGNS)
        at_carrier = await self._ledger()
        return sorted((at_carrier[number] - at) * 1000 for number, at in done.at.items())

    async def _ledger(self) -> dict[str, float]:
        async with self._session.get(f"http://127.0.0.1:{self._stack.port('CARRIER_PORT')}/simulator/ledger") as answer:
            lines = [json.loads(line) for line in (await answer.text()).splitlines()]
        return {line["to"]: datetime.fromisoformat(line["received_at"]).timestamp() for line in lines}


def quantile(values: Sequence[float], share: float) -> float:
    return values[min(len(values) - 1, int(share * len(values)))] if values else statistics.mean([])
