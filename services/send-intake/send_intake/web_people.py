"""The pages about people: who is behind a number of Progress, what happened to one of them, who must not be texted."""

from fastapi import APIRouter, Request, Response
from kernel.tokens import Role
from kernel.web import user_of

from send_intake import store_users
from send_intake.api_campaigns import campaign_row, described, opened_row
from send_intake.api_cookie import session_of
from send_intake.api_forward import Forwarder
from send_intake.views import BESIDE, EVENTS, STATES
from send_intake.web import Page, for_people, form_of, page, see_other
from send_intake.web_campaigns import read

router = APIRouter(route_class=Page, include_in_schema=False)

AT_ONCE = "100"


async def recipients(request: Request) -> Response:
    """Recipients in a state, or failed for a reason; a page of them at a time."""
    row = await campaign_row(request, request.path_params["campaign_id"])
    asked = {name: request.query_params.get(name, "") for name in ("state", "reason", "after")}
    found = await read(request, f"/campaigns/{row['id']}/recipients", limit=AT_ONCE, **asked)
    return page(
        request,
        "recipients.html",
        campaign=described(await opened_row(request, row)),
        recipients=found["recipients"],
        next=found.get("next"),
        asked=asked,
        title=STATES[asked["state"]].name if asked["state"] in STATES else "Recipients",
    )


async def recipient(request: Request) -> Response:
    """Every fact about one recipient, with time, actor, cause and the event's id."""
    row = await campaign_row(request, request.path_params["campaign_id"])
    path = f"/campaigns/{row['id']}/recipients/{request.path_params['recipient_id']}"
    return page(
        request,
        "recipient.html",
        campaign=described(await opened_row(request, row)),
        recipient=await read(request, path),
        events=(await read(request, f"{path}/timeline"))["events"],
        names=await store_users.names(request.app.state.pool, user_of(request).account_id),
        words=EVENTS,
        beside=BESIDE,
    )


async def opt_outs(request: Request) -> Response:
    """Who must not be texted."""
    found = await read(request, "/opt-outs", limit=AT_ONCE, after=request.query_params.get("after", ""))
    return page(request, "opt_outs.html", opt_outs=found["opt_outs"], next=found.get("next"), phone="")


async def opt_out_of(request: Request) -> Response:
    """Whether one person is among them. Their number is in the form, and in no address or log."""
    phone = (await form_of(request)).get("phone", "").strip()
    if not phone:
        return see_other("/opt-outs")
    forwarder: Forwarder = request.app.state.forwarder
    found = await forwarder.search(session_of(request), "/opt-outs/search", {"phone": phone[:64]})
    return page(request, "opt_outs.html", opt_outs=found["opt_outs"], next=None, phone=phone)


OPT_OUTS = for_people(Role.MANAGER, Role.AUDITOR)
for path, endpoint, method, who in (
    ("/campaigns/{campaign_id}/recipients", recipients, "GET", for_people()),
    ("/campaigns/{campaign_id}/recipients/{recipient_id}", recipient, "GET", for_people()),
    ("/opt-outs", opt_outs, "GET", OPT_OUTS),
    ("/opt-outs", opt_out_of, "POST", OPT_OUTS),
):
    router.add_api_route(path, endpoint, methods=[method], openapi_extra=who)
