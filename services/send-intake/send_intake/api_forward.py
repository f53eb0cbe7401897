"""One address for people: the API paths of dispatcher and projections, and the carrier's webhooks, passed on."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import orjson
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.routing import APIRoute
from kernel.openapi import document as own_document
from kernel.web import Direct, Problem
from starlette.responses import StreamingResponse
from yarl import URL

from send_intake.document import merged

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
OF_DISPATCHER = ("/opt-outs", "/replies", "/unresolved", "/holds", "/queue")
DOCUMENT_S = 60  # how long the other services' documents are remembered


class Forwarder:
    """Passes requests on, streaming both ways; asks projections what send-intake itself does not know."""

    def __init__(self, projections_url: str, dispatcher_url: str) -> None:
        self._projections_url, self._dispatcher_url = projections_url.rstrip("/"), dispatcher_url.rstrip("/")
        self._session: aiohttp.ClientSession | None = None
        self._told: dict[str, Any] = {}
        self._told_until = 0.0

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

    async def document(self, api: FastAPI) -> dict[str, Any]:
        """The OpenAPI document of this address; without the paths of a service that is away."""
        if time.monotonic() >= self._told_until:
            self._told, whole = await self._described(api)
            self._told_until = time.monotonic() + (DOCUMENT_S if whole else 1)
        return self._told

    async def _described(self, api: FastAPI) -> tuple[dict[str, Any], bool]:
        asked = {"Projections": self._projections_url, "Dispatcher": self._dispatcher_url}
        found = await asyncio.gather(*map(self._document_of, asked.values()))
        others = {name: document for name, document in zip(asked, found, strict=True) if document}
        return merged(own_document(api), others, is_passed_on), len(others) == len(asked)

    async def _document_of(self, base: str) -> dict[str, Any] | None:
        try:
            async with self.session().get(f"{base}/openapi.json", timeout=_ask()) as answer:
                answer.raise_for_status()
                document: dict[str, Any] = await answer.json()
                return document
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None

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

    async def read(self, token: str, path: str, **query: str) -> Any:
        """What the service behind the path answers a GET, asked in the name of the token's owner.

        Raises Problem: the service's own, or 503 while it is away.
        """
        return await self._asked(token, "GET", path, params={name: value for name, value in query.items() if value})

    async def search(self, token: str, path: str, asked: dict[str, str]) -> Any:
        """As `read`, for what must not stand in an address: a POST that changes nothing."""
        return await self._asked(token, "POST", path, json=asked)

    async def _asked(self, token: str, method: str, path: str, **request: Any) -> Any:
        base = self._dispatcher_url if path.startswith(OF_DISPATCHER) else self._projections_url
        headers = {"authorization": f"Bearer {token}"}
        try:
            async with self.session().request(
                method, f"{base}/api/v1{path}", headers=headers, timeout=_ask(), **request
            ) as answer:
                found = orjson.loads(await answer.read())
        except (aiohttp.ClientError, TimeoutError, OSError, orjson.JSONDecodeError):
            raise Problem(503, "try_again", "Its figures cannot be read at the moment. Try again.") from None
        if answer.status >= 400:
            raise Problem(answer.status, str(found.get("code", "refused")), str(found.get("detail", "")))
        return found

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


def is_passed_on(path: str) -> bool:
    """Whether a path, or its template, is answered by a service behind this one."""
    return any(route.path_regex.match(path) for route in router.routes if isinstance(route, APIRoute))


def _passed_on(path: str, endpoint: Callable[..., Any], methods: list[str]) -> None:
    router.add_api_route(path, endpoint, methods=methods, openapi_extra={"x-passed-on": True})


for path in (
    "progress",
    "progress/stream",
    "progress/history",
    "senders",
    "report.csv",
    "report.xlsx",
    "recipients",
    "recipients/{rid}",
    "recipients/{rid}/timeline",
):
    _passed_on(f"/api/v1/campaigns/{{campaign_id}}/{path}", _projections, ["GET"])
_passed_on("/api/v1/campaigns/compare", _projections, ["GET"])
_passed_on("/api/v1/account/progress", _projections, ["GET"])
_passed_on("/api/v1/reasons", _projections, ["GET"])
_passed_on("/api/v1/persons/{person_id}/recipients", _projections, ["GET"])
for path in (
    "persons/{rest:path}",
    "opt-outs",
    "opt-outs/{rest:path}",
    "holds",
    "holds/{rest:path}",
    "unresolved",
    "unresolved/{rest:path}",
    "replies",
    "queue",
):
    _passed_on(f"/api/v1/{path}", _dispatcher, ["GET", "POST", "DELETE"])
_passed_on("/webhooks/{rest:path}", _dispatcher, ["POST"])
