"""The pages of campaigns: the lists, a new one, its progress, its message, its end."""

import asyncio
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request, Response
from kernel import segments
from kernel.database import Row
from kernel.tokens import Role
from kernel.web import Problem, user_of

from send_intake import store, store_sending, template, views
from send_intake.api_campaigns import campaign_row, described, opened_row
from send_intake.api_cookie import session_of
from send_intake.api_forward import Forwarder
from send_intake.web import Page, for_people, form_of, page, see_other

router = APIRouter(route_class=Page, include_in_schema=False)

FIGURES_AT_ONCE = 50  # of campaigns that projections compares
SAMPLES = 3


async def front(request: Request) -> Response:
    return see_other("/campaigns")


async def current(request: Request) -> Response:
    """Current campaigns, with where each stands and who sends it."""
    campaigns = await _listed(request, completed=False)
    return page(request, "campaigns.html", campaigns=campaigns, mine=await _held(request))


async def completed(request: Request) -> Response:
    return page(request, "completed.html", campaigns=await _listed(request, completed=True))


async def new(request: Request) -> Response:
    rows = await store.campaign_rows(request.app.state.pool, user_of(request).account_id, None)
    return page(request, "new.html", senders=sorted({row["sender"] for row in rows}))


async def add_list(request: Request) -> Response:
    """More recipients for a campaign that stands."""
    return page(request, "list.html", campaign=await _campaign(request))


async def progress(request: Request) -> Response:
    """The numbers, each a way to the people behind it; reasons in words; how it went; and at the foot the end."""
    campaign = await _campaign(request)
    try:
        figures, reasons, history = await asyncio.gather(
            read(request, f"/campaigns/{campaign['campaign_id']}/progress"),
            read(request, "/reasons"),
            read(request, f"/campaigns/{campaign['campaign_id']}/progress/history"),
        )
    except Problem as problem:
        if problem.status < 500:
            raise
        # Whoever is here to END it must not be kept from that by figures.
        may_end = user_of(request).role is Role.MANAGER and campaign["ended_at"] is None
        end_at = f"/campaigns/{campaign['campaign_id']}/end" if may_end else None
        return page(request, "problem.html", problem.status, said=problem.detail, end_at=end_at)
    return page(
        request,
        "progress.html",
        campaign=campaign,
        figures=figures,
        leaves=views.PROGRESS,
        reasons=reasons["reasons"]["failed"],
        chart=views.chart(history["points"]),
        box=(views.WIDTH, views.HEIGHT),
        forecast=views.forecast(history["points"], figures["unprocessed"], datetime.now(UTC)),
    )


async def message(request: Request) -> Response:
    """The text as it is written and as some will get it; the report."""
    campaign = await _campaign(request)
    found = await read(request, f"/campaigns/{campaign['campaign_id']}/recipients", limit=str(SAMPLES))
    text = template.parse(campaign["text"])
    assert isinstance(text, template.Template), "a campaign's text has been parsed before"
    samples = [
        {"name": _name(one), "phone": one["phone"], "text": text.render(one["columns"])} for one in found["recipients"]
    ]
    for one in samples:
        one["segments"] = segments.count(one["text"])
    return page(request, "message.html", campaign=campaign, samples=samples, fields=text.fields)


async def end_page(request: Request) -> Response:
    """What an end would do now, and the box for END; once it has ended, what the end did."""
    return await _end_page(request, described(await _sealed(request)))


async def end(request: Request) -> Response:
    """Ends the campaign when exactly END was typed."""
    form = await form_of(request)
    row = await _sealed(request)
    if form.get("confirm") != "END":
        wrong = "Type END, in capitals, to end the campaign. Nothing was ended."
        return await _end_page(request, described(row), wrong)
    try:
        await store.end_campaign(request.app.state.pool, store.unopened(row), user_of(request).user_id)
    except store.ClockUnconfirmed:
        raise Problem(503, "clock_unconfirmed", "The time is not certain yet. Nothing was ended. Try again.") from None
    request.app.state.wake_relay.set()
    return see_other(f"/campaigns/{row['id']}/end")


async def _end_page(request: Request, campaign: dict[str, Any], wrong: str = "") -> Response:
    """An END needs neither projections nor the vault, and nor does its page: without them it shows what it knows."""
    counts = await store.pressed(request.app.state.pool, user_of(request).account_id, campaign["campaign_id"])
    figures = await _figures(request, campaign["campaign_id"])
    would_drop = counts["waiting_for_t"] if campaign["ended_at"] is None else 0
    gone = figures["sent"] + figures["suppressed"] + figures["dropped"] if figures else 0
    return page(
        request,
        "end.html",
        422 if wrong else 200,
        campaign=campaign,
        figures=figures,
        unprocessed=counts["unprocessed"],
        would_drop=would_drop,
        still_going=max(0, counts["processed"] - would_drop - gone) if figures else None,
        before_its_time=campaign["ended_at"] is not None
        and campaign["scheduled_for"] is not None
        and campaign["ended_at"] < campaign["scheduled_for"],
        wrong=wrong,
    )


async def _figures(request: Request, campaign_id: str) -> dict[str, int] | None:
    """Progress, or None while it cannot be read."""
    try:
        found: dict[str, int] = await read(request, f"/campaigns/{campaign_id}/progress")
    except Problem as problem:
        if problem.status < 500:
            raise
        return None
    return found


# --- common to pages -------------------------------------------------------------------------------------


async def read(request: Request, path: str, **query: str) -> Any:
    """What a service behind this one answers the person who asks for the page. Raises Problem."""
    forwarder: Forwarder = request.app.state.forwarder
    return await forwarder.read(session_of(request), path, **query)


async def _sealed(request: Request) -> Row:
    """The campaign of the address, its text as it is stored. Raises Problem 404."""
    return await campaign_row(request, request.path_params["campaign_id"])


async def _campaign(request: Request) -> dict[str, Any]:
    """The campaign of the address. Raises Problem 404."""
    return described(await opened_row(request, await _sealed(request)))


async def _held(request: Request) -> Row | None:
    """The campaign that holds the user, if one does."""
    user = user_of(request)
    return await store_sending.of_user(request.app.state.pool, user.account_id, user.user_id)


async def _listed(request: Request, completed: bool) -> list[dict[str, Any]]:
    """The campaigns with their figures; without, while projections does not know them."""
    rows = await store.campaign_rows(request.app.state.pool, user_of(request).account_id, completed)
    found = await figures_of(request, [row["id"] for row in rows[:FIGURES_AT_ONCE]])
    return [described(row) | {"figures": found.get(row["id"])} for row in rows]


async def figures_of(request: Request, campaign_ids: list[str]) -> dict[str, Any]:
    """Progress of campaigns by id; of none while projections is away: the list is of use all the same."""
    if not campaign_ids:
        return {}
    try:
        found = await read(request, "/campaigns/compare", ids=",".join(campaign_ids))
    except Problem:
        return {}
    return {one["campaign_id"]: one for one in found["campaigns"]}


def _name(recipient: dict[str, Any]) -> str:
    return f"{recipient['first_name']} {recipient['last_name']}".strip()


ALL, MANAGERS = for_people(), for_people(Role.MANAGER)
for path, endpoint, method, who in (
    ("/", front, "GET", ALL),
    ("/campaigns", current, "GET", ALL),
    ("/campaigns/completed", completed, "GET", ALL),
    ("/campaigns/new", new, "GET", MANAGERS),
    ("/campaigns/{campaign_id}", progress, "GET", ALL),
    ("/campaigns/{campaign_id}/message", message, "GET", ALL),
    ("/campaigns/{campaign_id}/list", add_list, "GET", MANAGERS),
    ("/campaigns/{campaign_id}/end", end_page, "GET", MANAGERS),
    ("/campaigns/{campaign_id}/end", end, "POST", MANAGERS),
):
    router.add_api_route(path, endpoint, methods=[method], openapi_extra=who)
