"""Someone with a token, and what they are answered over HTTP."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import UUID, uuid5

import aiohttp
import orjson

PROBLEM = "application/problem+json"


class Answer(NamedTuple):
    """`body` is the JSON where it is JSON, else the bytes."""

    status: int
    body: Any
    type: str

    @property
    def code(self) -> str:
        """The stable code of a refusal."""
        code: str = self.body["code"]
        return code


@dataclass
class User:
    """A signed-in person."""

    name: str
    base: str
    token: str = field(repr=False)
    http: aiohttp.ClientSession = field(repr=False)

    async def call(self, method: str, path: str, *, base: str | None = None, **kwargs: Any) -> Answer:
        """Whatever the answer is; a refusal must be a problem+json with a code."""
        headers = {"Authorization": f"Bearer {self.token}", **kwargs.pop("headers", {})}
        url = f"{base or self.base}/api/v1{path}"
        async with self.http.request(method, url, headers=headers, **kwargs) as got:
            return read(got.status, got.content_type, await got.read())

    async def ok(self, method: str, path: str, **kwargs: Any) -> Any:
        answer = await self.call(method, path, **kwargs)
        assert answer.status < 300, f"{self.name}: {method} {path}: {answer}"
        return answer.body

    # --- what people do ------------------------------------------------------------------------------

    async def starts(self, campaign: "Campaign", **asked: Any) -> Answer:
        return await self.call("POST", f"/campaigns/{campaign.id}/sending", json=asked)

    async def stops(self, campaign: "Campaign") -> Answer:
        return await self.call("DELETE", f"/campaigns/{campaign.id}/sending")

    async def rows(self, campaign: "Campaign", limit: int = 100) -> list[dict[str, Any]]:
        body = await self.ok("POST", f"/campaigns/{campaign.id}/sending/next", json={"limit": limit})
        rows: list[dict[str, Any]] = body["recipients"]
        return rows

    async def sends(self, campaign: "Campaign", number: str) -> Answer:
        return await self.call("POST", f"/campaigns/{campaign.id}/recipients/{campaign.rid(number)}/send")

    async def sends_all(self, campaign: "Campaign", numbers: list[str]) -> list[dict[str, Any]]:
        asked = {"recipients": [{"recipient_id": campaign.rid(number)} for number in numbers]}
        results: list[dict[str, Any]] = (await self.ok("POST", f"/campaigns/{campaign.id}/send", json=asked))["results"]
        return results

    async def ends(self, campaign: "Campaign", confirm: Any = "END") -> Answer:
        return await self.call("POST", f"/campaigns/{campaign.id}/end", json={"confirm": confirm})


@dataclass(frozen=True)
class Campaign:
    id: str
    name: str
    sender: str

    def rid(self, number: str) -> str:
        """The recipient's id, as everybody can compute it."""
        return str(uuid5(UUID(self.id), number))


def read(status: int, content_type: str, content: bytes) -> Answer:
    """An answer; a refusal that is not a problem+json with a stable code fails the test."""
    if content_type not in ("application/json", PROBLEM):
        assert status < 400, f"{status} is {content_type}: {content[:300]!r}"
        return Answer(status, content, content_type)
    body = orjson.loads(content)
    if status >= 400:
        assert content_type == PROBLEM, f"{status} is {content_type}"
        assert body["status"] == status and body["code"] and body["title"] and body["detail"], body
    return Answer(status, body, content_type)
