"""People who try again while something is away, as a page does; and the carrier asked the same way."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

import aiohttp
import orjson

from tests.e2e.people import Answer, User
from tests.e2e.story import Story

PATIENCE_S = 90.0
RETRY_S = 0.2
ANSWER_S = 8.0
AWAY = (aiohttp.ClientError, TimeoutError, ConnectionError)

T = TypeVar("T")


async def patiently(ask: Callable[[], Awaitable[T | None]]) -> T:
    """The first answer that is one. None, and a connection that fails, mean: ask again."""
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    while True:
        why: object = "no answer"
        try:
            async with asyncio.timeout(ANSWER_S):
                if (found := await ask()) is not None:
                    return found
        except AWAY as error:
            why = error
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError(f"nobody answered for {PATIENCE_S:.0f} s: {why!r}")
        await asyncio.sleep(RETRY_S)


class Patient(User):
    """Asks again while the answer is "try again"."""

    async def call(self, method: str, path: str, **kwargs: Any) -> Answer:
        async def once() -> Answer | None:
            answer = await User.call(self, method, path, **kwargs)
            assert answer.status != 500, f"{method} {path}: {answer.body}"
            return None if answer.status == 503 else answer

        return await patiently(once)


class PatientStory(Story):
    """A story on a stack that is under fire."""

    user_type = Patient

    async def faults(self, **faults: Any) -> None:
        async def put() -> bool:
            await Story.faults(self, **faults)
            return True

        await patiently(put)

    async def ledger(self, numbers: Iterable[str]) -> list[dict[str, Any]]:
        wanted = list(numbers)

        async def read() -> list[dict[str, Any]]:
            return await Story.ledger(self, wanted)

        return await patiently(read)

    async def texted(self, numbers: Iterable[str]) -> Counter[str]:
        return Counter(line["to"] for line in await self.ledger(numbers) if line["accepted"])

    async def stops(self, number: str, to: str) -> None:
        """A reply STOP, repeated under the same id until our webhook has answered it."""
        message = {"from": number, "to": to, "body": "STOP", "message_id": f"SM{random.getrandbits(128):032x}"}

        async def reply() -> bool | None:
            async with self.http.post(f"{self.carrier}/simulator/inbound", json=message) as answer:
                await answer.read()
                return answer.status in (200, 204) or None  # what our webhook said

        await patiently(reply)

    async def unknown(self, campaign_id: str) -> list[str]:
        """The numbers whose outcome nobody knows."""
        return await self.in_state(campaign_id, "unknown")

    async def in_state(self, campaign_id: str, state: str) -> list[str]:
        """The numbers that are counted there, 500 at most."""
        manager = await self.manager()
        path = f"/campaigns/{campaign_id}/recipients?state={state}&limit=500"
        return [row["phone"] for row in orjson.loads(orjson.dumps(await manager.ok("GET", path)))["recipients"]]
