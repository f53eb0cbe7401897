"""Campaigns: create, list, look at, end."""

from datetime import datetime
from typing import Any, Literal
from uuid import uuid4

from fastapi import APIRouter, Request, Response
from kernel.database import Row
from kernel.tokens import Role
from kernel.web import EVERYBODY, Guarded, Problem, is_uuid, json_response, needs, problem_response, user_of
from pydantic import BaseModel, ConfigDict, Field

from send_intake import store, store_sealed
from send_intake.api_forward import Forwarder
from send_intake.request import Refusal, read_campaign

MANAGER = needs(Role.MANAGER)
PLAIN = (
    "name", "text", "scheduled_for", "time_zone", "useful_until", "sender", "recipients", "created_at", "created_by",
    "ended_at", "ended_by",
)  # fmt: skip
FOREIGN_SENDER = Problem(422, "foreign_sender", "The sender number belongs to another account.")


class OfCampaign(Guarded):
    """A route below a campaign: 401, then 404 for what is not the account's, then the role, then the body."""

    async def before_role(self, request: Request) -> None:
        request.state.campaign = await campaign_row(request, request.path_params["campaign_id"])


router = APIRouter(route_class=Guarded, tags=["campaigns"])
below = APIRouter(route_class=OfCampaign, tags=["campaigns"])


class CampaignAsked(BaseModel):
    """A campaign to create. `scheduled_for` is RFC 3339 with an offset, and may name the time zone behind it, against
    which the offset is then checked: `2026-11-01T01:30:00-04:00[America/New_York]`. `sender` defaults to the account's
    number; `senders` instead of it are up to 50 numbers, among which each person keeps the one they were first SENT a
    text from. `useful_until` is a time like `scheduled_for` and after it: what has not left by then is not sent."""

    name: str
    text: str
    scheduled_for: str | None = None
    sender: str | None = None
    senders: list[str] | None = None
    useful_until: str | None = None


class Campaign(BaseModel):
    """A campaign as it stands; `sending` are the users who send it now, `sender` is the first of the `senders`."""

    campaign_id: str
    name: str
    text: str
    state: Literal["current", "completed"]
    scheduled_for: datetime | None
    time_zone: str | None = Field(description="In which scheduled_for was given; null when none was named.")
    useful_until: datetime | None
    sender: str
    senders: list[str]
    recipients: int
    created_at: datetime
    created_by: str
    ended_at: datetime | None
    ended_by: str | None
    sending: list[str]


class Campaigns(BaseModel):
    campaigns: list[Campaign]


class EndAsked(BaseModel):
    model_config = ConfigDict(strict=True)

    confirm: str = Field(description="Exactly END.")


class Ended(BaseModel):
    campaign_id: str
    state: Literal["completed"]
    ended_at: datetime
    ended_by: str


class EndPreview(BaseModel):
    """What an END now would do. `would_drop`: SENT and waiting for T; `still_going`: SENT and still to be texted."""

    unprocessed: int
    would_drop: int
    still_going: int
    already_sent: int


@router.post("/campaigns", status_code=201, response_model=Campaign, openapi_extra=MANAGER)
async def create(request: Request, asked: CampaignAsked) -> Response:
    """Creates a campaign."""
    state, user = request.app.state, user_of(request)
    now = await store.time_for(state.pool, user.account_id)
    campaign = read_campaign(asked, now, state.settings.default_region)
    if isinstance(campaign, Refusal):
        raise Problem(422, campaign.code, campaign.detail)
    campaign_id = str(uuid4())
    try:
        sealed = await store_sealed.seal_template(state.vault, user.account_id, campaign_id, campaign.text)
        await store.create_campaign(
            state.pool, campaign_id, user.account_id, user.user_id, *campaign._replace(text=sealed)
        )
    except store.ForeignSender:
        raise FOREIGN_SENDER from None
    state.wake_relay.set()
    return json_response(described(await opened_row(request, await campaign_row(request, campaign_id))), 201)


@router.get("/campaigns", response_model=Campaigns, openapi_extra=needs(*EVERYBODY))
async def list_(request: Request, state: Literal["current", "completed"] | None = None) -> Response:
    """The account's campaigns, newest first; without `state`, all of them."""
    completed = None if state is None else state == "completed"
    rows = await store.campaign_rows(request.app.state.pool, user_of(request).account_id, completed)
    opened = await store_sealed.open_templates(request.app.state.vault, rows)
    return json_response({"campaigns": [described(row) for row in opened]})


@below.get("/campaigns/{campaign_id}", response_model=Campaign, openapi_extra=needs(*EVERYBODY))
async def details(request: Request, campaign_id: str) -> Response:
    """One campaign."""
    return json_response(described(await opened_row(request, request.state.campaign)))


@below.post("/campaigns/{campaign_id}/end", response_model=Ended, openapi_extra=MANAGER)
async def end(request: Request, campaign_id: str, asked: EndAsked) -> Response:
    """Ends a campaign: before its scheduled time nobody is texted, else everyone SENT before the end still is."""
    state = request.app.state
    row = request.state.campaign
    if asked.confirm != "END":
        raise Problem(422, "confirm_required", "To end the campaign, confirm with exactly END.")
    try:
        await store.end_campaign(state.pool, store.unopened(row), user_of(request).user_id)
    except store.ClockUnconfirmed:
        detail = "The database was restored, and the time is not certain yet. Nothing was ended. Try again."
        return problem_response(Problem(503, "clock_unconfirmed", detail), {"Retry-After": "2"})
    state.wake_relay.set()
    row = await campaign_row(request, campaign_id)
    return json_response(
        {
            "campaign_id": row["id"],
            "state": "completed",
            "ended_at": row["ended_at"],
            "ended_by": row["ended_by"],
        }
    )


@below.get("/campaigns/{campaign_id}/end-preview", response_model=EndPreview, openapi_extra=MANAGER)
async def end_preview(request: Request, campaign_id: str) -> Response:
    """What an END now would do."""
    row = request.state.campaign
    counts = await store.pressed(request.app.state.pool, row["account"], row["id"])
    forwarder: Forwarder = request.app.state.forwarder
    progress = await forwarder.progress(request, row["id"]) if counts["processed"] else {}
    sent, suppressed = progress.get("sent", 0), progress.get("suppressed", 0)
    dropped, would_drop = progress.get("dropped", 0), counts["waiting_for_t"]
    return json_response(
        {
            "unprocessed": counts["unprocessed"],
            "would_drop": would_drop,
            "still_going": max(0, counts["processed"] - would_drop - sent - suppressed - dropped),
            "already_sent": sent,
        }
    )


async def campaign_row(request: Request, campaign_id: str) -> Row:
    """The campaign of the caller's account, its text sealed: an END waits for no vault.

    Raises Problem 404, also for another account's and for no id at all.
    """
    row, campaign_id = None, campaign_id.lower()
    if is_uuid(campaign_id):
        row = await store.campaign_row(request.app.state.pool, user_of(request).account_id, campaign_id)
    if row is None:
        raise Problem(404, "not_found", "There is no such campaign.")
    return row


async def opened_row(request: Request, row: Row) -> Row:
    """The campaign with its text as it was written."""
    (opened,) = await store_sealed.open_templates(request.app.state.vault, [row])
    return opened


def described(row: Row) -> dict[str, Any]:
    return {
        "campaign_id": row["id"],
        "state": "current" if row["ended_at"] is None else "completed",
        **{name: row[name] for name in PLAIN},
        "senders": store.senders_of(row),
        "sending": list(row["sending"]),
    }
