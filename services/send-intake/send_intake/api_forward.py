"""One address for people: the API paths of dispatcher and projections, and the carrier's webhooks, passed on."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
from fastapi import APIRouter, Request, Response
from kernel.web import Direct, Problem
from starlette.responses import StreamingResponse
from yarl import URL

router = APIRouter(route_class=Direct, include_in_schema=False)

# What belongs to one connection and not to the message (RFC 9110, 7.6.1), and what the next hop sets itself.
HOP_BY_HOP = {
    "date",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "host",
    "content-length",
}
CONNECT_S = 3
ASK_S = 5


class Forwarder:
    """Passes requests on, streaming both ways; asks projections what send-intake itself does not know."""

    def __init__(self, projections_url: str, dispatcher_url: str) -> None:
        self._projections_url, self._dispatcher_url = projections_url.rstrip("/"), dispatcher_url.rstrip("/")
        self._session: aiohttp.ClientSession | None = None

    def session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_S),
                connector=aiohttp.TCPConnector(limit=2000),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        return self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def to_projections(self, request: Request) -> Response:
        return await self._pass_on(request, self._projections_url)

    async def to_dispatcher(self, request: Request) -> Response:
        return await self._pass_on(request, self._dispatcher_url)

    async def _pass_on(self, request: Request, base: str) -> Response:
        path = request.scope["raw_path"].decode("ascii")
        query = request.scope["query_string"].decode("ascii")
        body = request.stream() if request.method in ("POST", "PUT", "PATCH", "DELETE") else None
        headers = [(k, v) for k, v in request.headers.items() if k not in HOP_BY_HOP]
        url = f"{base}{path}" + (f"?{query}" if query else "")
        try:
            answer = await self.session().request(
                request.method, _exact(url), headers=headers, data=body, allow_redirects=False
            )
        except (aiohttp.ClientError, TimeoutError, OSError):
            raise Problem(503, "try_again", "The service behind this path is away; try again.") from None
        kept = {k: v for k, v in answer.headers.items() if k.lower() not in HOP_BY_HOP}
        return StreamingResponse(_chunks(answer), answer.status, headers=kept)

    async def progress(self, request: Request, campaign_id: str) -> dict[str, Any]:
        """Progress of a campaign, asked in the caller's name. Raises Problem 503 while projections is away."""
        url = f"{self._projections_url}/api/v1/campaigns/{campaign_id}/progress"
        try:
            async with self.session().get(url, headers=_as_caller(request), timeout=_ask()) as answer:
                answer.raise_for_status()
                found: dict[str, Any] = await answer.json()
                return found
        except (aiohttp.ClientError, TimeoutError, OSError):
            raise Problem(503, "try_again", "Progress cannot be read now; try again.") from None

    async def states(self, request: Request, campaign_id: str, recipient_ids: list[str]) -> dict[str, str]:
        """Today's state of recipients; empty while projections is away: a SEND is answered all the same."""
        url = f"{self._projections_url}/api/v1/campaigns/{campaign_id}/states"
        body = {"recipient_ids": recipient_ids}
        try:
            async with self.session().post(url, json=body, headers=_as_caller(request), timeout=_ask()) as answer:
                answer.raise_for_status()
                states: dict[str, str] = (await answer.json())["states"]
                return states
        except (aiohttp.ClientError, TimeoutError, OSError):
            return {}


def _ask() -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=ASK_S)


def _as_caller(request: Request) -> dict[str, str]:
    return {"authorization": request.headers["authorization"]}


def _exact(url: str) -> URL:

    return URL(url, encoded=True)


async def _chunks(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    try:
        async for chunk in answer.content.iter_any():
            yield chunk
    finally:
        answer.close()


async def _projections(request: Request) -> Response:
    forwarder: Forwarder = request.app.state.forwarder
    return await forwarder.to_projections(request)


async def _dispatcher(request: Request) -> Response:
    forwarder: Forwarder = request.app.state.forwarder
    return await forwarder.to_dispatcher(request)


for path in (
    "progress",
    "progress/stream",
    "report.csv",
    "recipients",
    "recipients/{rid}",
    "recipients/{rid}/timeline",
):
    router.add_api_route(f"/api/v1/campaigns/{{campaign_id}}/{path}", _projections, methods=["GET"])
router.add_api_route("/api/v1/persons/{person_id}/recipients", _projections, methods=["GET"])
for path in (
    "persons/{rest:path}",
    "opt-outs",
    "opt-outs/{rest:path}",
    "unresolved",
    "unresolved/{rest:path}",
    "replies",
):
    router.add_api_route(f"/api/v1/{path}", _dispatcher, methods=["GET", "POST", "DELETE"])
router.add_api_route("/webhooks/{rest:path}", _dispatcher, methods=["POST"])
