"""What changes by itself on the list of campaigns: their figures and who sends them, as server-sent events."""

import asyncio
from collections.abc import AsyncIterator

import orjson
from fastapi import APIRouter, Request, Response
from kernel.web import is_uuid
from starlette.responses import StreamingResponse

from send_intake import store
from send_intake.web import Page, for_people, signed_in
from send_intake.web_campaigns import FIGURES_AT_ONCE, figures_of

router = APIRouter(route_class=Page, include_in_schema=False)

LOOK_S = 1.0
HEARTBEAT_S = 15.0
RETRY_MS = 2000
SHOWN = ("recipients", "processed", "sent", "delivered", "state")


async def live(request: Request) -> Response:
    """The figures of the campaigns in `ids`, now and whenever they change."""
    asked = [id_ for id_ in request.query_params.get("ids", "").split(",") if is_uuid(id_)]
    account_id = request.state.user.account_id
    own = {row["id"] for row in await store.campaign_rows(request.app.state.pool, account_id, None)}
    ids = [id_ for id_ in dict.fromkeys(asked) if id_ in own][:FIGURES_AT_ONCE]
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_changes(request, ids), media_type="text/event-stream", headers=headers)


async def _shown(request: Request, ids: list[str]) -> dict[str, object]:
    found = await figures_of(request, ids)
    rows = await store.campaign_rows(request.app.state.pool, request.state.user.account_id, None)
    sending = {row["id"]: list(row["sending"]) for row in rows}
    return {id_: {**{name: one[name] for name in SHOWN}, "sending": sending.get(id_, [])} for id_, one in found.items()}


async def _changes(request: Request, ids: list[str]) -> AsyncIterator[bytes]:
    """Ends with the session, so that whoever signed out sees nothing more."""
    yield f"retry: {RETRY_MS}\n\n".encode()
    now = asyncio.get_running_loop().time
    told: dict[str, object] = {}
    spoke = now()
    while signed_in(request) is not None:
        shown = await _shown(request, ids)
        news = {id_: one for id_, one in shown.items() if told.get(id_) != one}
        if news:
            told |= news
            yield b"event: figures\ndata: " + orjson.dumps(news) + b"\n\n"
            spoke = now()
        elif now() - spoke > HEARTBEAT_S:
            yield b": still here\n\n"
            spoke = now()
        await asyncio.sleep(LOOK_S)


# Before `/campaigns/{campaign_id}`, which it would pass for.
router.add_api_route("/campaigns/live", live, methods=["GET"], openapi_extra=for_people())
