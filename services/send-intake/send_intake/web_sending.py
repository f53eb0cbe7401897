"""The page people send from for hours, and what its script asks for beside the API."""

from typing import Any

from fastapi import APIRouter, Request, Response
from kernel.tokens import Role
from kernel.web import user_of

from send_intake import store, store_sending
from send_intake.admission import Refused
from send_intake.api_campaigns import campaign_row, described, opened_row
from send_intake.api_sending import REFUSALS, shown_row
from send_intake.store_sending import SendingAnother
from send_intake.web import Page, for_people, form_of, page, see_other

router = APIRouter(route_class=Page, include_in_schema=False)

ROWS = 40  # at first; the script asks for more as they are SENT


async def sending(request: Request) -> Response:
    """The rows to press SEND on; or the way to begin; or the word that it is over."""
    user, pool = user_of(request), request.app.state.pool
    row = await opened_row(request, await campaign_row(request, request.path_params["campaign_id"]))
    campaign, rows = described(row), []
    held = await store_sending.of_user(pool, user.account_id, user.user_id)
    begun = held is not None and held["campaign_id"] == row["id"]
    if begun and row["ended_at"] is None:
        rows = await _rows(request, row)
    return page(request, "sending.html", campaign=campaign, begun=begun, held=held, rows=rows)


async def _rows(request: Request, row: Any) -> list[dict[str, Any]]:
    user, state = user_of(request), request.app.state
    found = await store_sending.next_rows(
        state.pool, state.vault, user.account_id, row["id"], user.user_id, ROWS, state.settings.claim_s, fair=True
    )
    campaign = store.campaign_of(row)
    return [shown_row(one, campaign) for one in found]


async def begin(request: Request) -> Response:
    """The user starts sending this campaign; `take_over` frees them from another first."""
    user = user_of(request)
    row = await campaign_row(request, request.path_params["campaign_id"])
    take_over = (await form_of(request)).get("take_over") == "yes"
    try:
        await store_sending.start(request.app.state.pool, user.account_id, row["id"], user.user_id, take_over)
    except store.Ended:
        raise REFUSALS[Refused.CAMPAIGN_ENDED] from None
    except SendingAnother:
        pass  # the page says which, and offers to move
    return see_other(f"/campaigns/{row['id']}/send")


async def stop(request: Request) -> Response:
    """The user stops; their rows go back."""
    user = user_of(request)
    await form_of(request)
    row = await campaign_row(request, request.path_params["campaign_id"])
    await store_sending.stop(request.app.state.pool, user.account_id, row["id"], user.user_id)
    return see_other("/campaigns")


async def leave(request: Request) -> Response:
    """The page was closed: the rows it showed go back at once."""
    user = user_of(request)
    await form_of(request)
    row = await campaign_row(request, request.path_params["campaign_id"])
    await store_sending.leave(request.app.state.pool, user.account_id, row["id"], user.user_id)
    return Response(status_code=204)


SENDERS = for_people(Role.SENDER, Role.MANAGER)
for path, endpoint, method in (
    ("/campaigns/{campaign_id}/send", sending, "GET"),
    ("/campaigns/{campaign_id}/send/begin", begin, "POST"),
    ("/campaigns/{campaign_id}/send/stop", stop, "POST"),
    ("/campaigns/{campaign_id}/send/leave", leave, "POST"),
):
    router.add_api_route(path, endpoint, methods=[method], openapi_extra=SENDERS)
