"""The demo's users: they do over HTTP what a person does at a page, one recipient after the other."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import aiohttp

PAGE = 100
HANDS = 8  # presses under way at once per user: a fast hand, and a page that does not wait for the answer
RETRY_S = 0.2
PATIENCE_S = 60


class DemoFailed(Exception):
    """Something the demo needs did not happen; the message says what."""


async def new_token(name: str, role: str, account: str) -> str:
    """A token, as `handsent user add` prints it."""
    command = [sys.executable, "-m", "handsent", "user", "add", name, "--role", role, "--account", account]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, complaint = await process.communicate()
    if process.returncode:
        raise DemoFailed(f"user add: {complaint.decode().strip()}")
    return out.decode().strip()


@dataclass
class User:
    """One signed-in person."""

    name: str
    base: str
    token: str = field(repr=False)
    session: aiohttp.ClientSession = field(repr=False)

    async def call(self, method: str, path: str, **kwargs: Any) -> Any:
        """The answer's JSON. Repeats while the service is away; raises DemoFailed when it says no."""
        headers = {"Authorization": f"Bearer {self.token}", **kwargs.pop("headers", {})}
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        while True:
            try:
                async with self.session.request(method, self.base + path, headers=headers, **kwargs) as answer:
                    content = await answer.read()
                    if answer.status < 300:
                        return json.loads(content)
                    if answer.status != 503:
                        raise DemoFailed(f"{self.name}: {method} {path}: {answer.status} {content.decode()[:300]}")
            except aiohttp.ClientError as error:
                content = repr(error).encode()
            if asyncio.get_running_loop().time() > deadline:
                raise DemoFailed(f"{self.name}: {method} {path}: {content.decode()[:300]}")
            await asyncio.sleep(RETRY_S)

    async def download(self, path: str, file: Any) -> None:
        async with self.session.get(self.base + path, headers={"Authorization": f"Bearer {self.token}"}) as answer:
            if answer.status != 200:
                raise DemoFailed(f"{self.name}: {path}: {answer.status}")
            async for chunk in answer.content.iter_chunked(65536):
                file.write(chunk)


@dataclass(frozen=True)
class Pressed:
    """A SEND that was answered."""

    recipient_id: str
    phone: str
    due_at: datetime
    processed_at: datetime


async def press(user: User, campaign_id: str, limit: int, until: datetime | None = None) -> list[Pressed]:
    """Presses SEND on up to `limit` recipients, row by row, and stops at `until`."""
    pressed: list[Pressed] = []

    async def hand(rows: AsyncIterator[dict[str, Any]]) -> None:
        async for row in rows:
            answer = await user.call("POST", f"/campaigns/{campaign_id}/recipients/{row['recipient_id']}/send")
            times = (datetime.fromisoformat(answer[name]) for name in ("due_at", "processed_at"))
            pressed.append(Pressed(row["recipient_id"], row["phone"], *times))

    while len(pressed) < limit and (until is None or datetime.now(until.tzinfo) < until):
        asked = {"limit": min(PAGE, limit - len(pressed))}
        found = (await user.call("POST", f"/campaigns/{campaign_id}/sending/next", json=asked))["recipients"]
        if not found:
            break
        rows = _each(found)
        await asyncio.gather(*(hand(rows) for _ in range(HANDS)))
    return pressed


class _each:
    """Hands take the rows of a page in turn."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self._rows = iter(rows)

    def __aiter__(self) -> "_each":
        return self

    async def __anext__(self) -> dict[str, Any]:
        for row in self._rows:
            return row
        raise StopAsyncIteration
