"""Sending by hand: start, the next rows, SEND, stop."""

from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request, Response
from kernel.tokens import Role
from kernel.web import Guarded, GuardedDirect, Problem, is_uuid, json_response, needs, problem_response, user_of
from pydantic import BaseModel, ConfigDict, Field

from send_intake import store, store_sending
from send_intake.admission import Campaign, Hand, Press, Processed, Refused
from send_intake.api_campaigns import OfCampaign, campaign_row, opened_row
from send_intake.api_forward import Forwarder
from send_intake.api_sessions import claims_of
from send_intake.store_presses import Answer, Presses
from send_intake.store_sending import Shown
from send_intake.template import column_for

router = APIRouter(tags=["sending"])
below = APIRouter(route_class=OfCampaign, tags=["sending"])
guarded = APIRouter(route_class=Guarded, tags=["sending"])
# Its path is whole, for it is also served ahead of the framework.
direct = APIRouter(route_class=GuardedDirect, prefix="/api/v1", tags=["sending"])

SENDERS = needs(Role.SENDER, Role.MANAGER)
MAX_BATCH = 500
MAX_CLIENT = 200  # characters of a client's name for itself that become part of the press

REFUSALS = {
    Refused.NOT_FOUND: Problem(404, "not_found", "There is no such recipient in this campaign."),
    Refused.CAMPAIGN_ENDED: Problem(409, "campaign_ended", "The campaign has ended."),
    Refused.NOT_SENDING: Problem(409, "not_sending", "Start sending this campaign first."),
    Refused.KEY_MISSING: Problem(503, "try_again", "This person's data cannot be read at the moment. Try again."),
}


class StartAsked(BaseModel):
    model_config = ConfigDict(strict=True)

    take_over: bool = Field(False, description="Free the user from the campaign that holds them.")


class Sending(BaseModel):
    campaign_id: str
    sending: bool
    since: datetime | None = None


class NextAsked(BaseModel):
    limit: int = Field(50, ge=1, le=MAX_BATCH)
    fair: bool = Field(False, description="Leave the others who send it their part of a list that runs out.")


class Row(BaseModel):
    """A recipient to press SEND on, with the text as they will get it."""

    recipient_id: str
    phone: str
    first_name: str
    last_name: str
    text: str
    position: int


class Rows(BaseModel):
    """The next rows; what is SENT and has not left by `useful_until` is not sent."""

    recipients: list[Row]
    useful_until: datetime | None


class Sent(BaseModel):
    """What became of a press: the first press of this recipient, whoever pressed; `state` is today's."""

    recipient_id: str
    state: str
    processed_at: datetime
    processed_by: str
    due_at: datetime


class Result(BaseModel):
    recipient_id: str
    status: int
    code: str | None = None
    state: str | None = None
    processed_at: datetime | None = None
    processed_by: str | None = None
    due_at: datetime | None = None


class Results(BaseModel):
    results: list[Result]


@below.post("/campaigns/{campaign_id}/sending", response_model=Sending, openapi_extra=SENDERS)
async def start(request: Request, campaign_id: str, asked: StartAsked | None = None) -> Response:
    """The user starts sending this campaign, one at a time; `take_over` frees them from another first."""
    row = request.state.campaign
    pool, user = request.app.state.pool, user_of(request)
    try:
        since = await store_sending.start(
            pool, row["account"], row["id"], user.user_id, bool(asked and asked.take_over)
        )
    except store.Ended:
        raise REFUSALS[Refused.CAMPAIGN_ENDED] from None
    except store_sending.SendingAnother as other:
        detail = f"You are sending the campaign {other.name}. Take over to move to this one."
        raise Problem(409, "sending_another", detail, campaign_id=other.campaign_id, name=other.name) from None
    return json_response({"campaign_id": row["id"], "sending": True, "since": since})


@below.delete("/campaigns/{campaign_id}/sending", response_model=Sending, openapi_extra=SENDERS)
async def stop(request: Request, campaign_id: str) -> Response:
    """The user stops; the rows they were shown go back."""
    row = request.state.campaign
    await store_sending.stop(request.app.state.pool, row["account"], row["id"], user_of(request).user_id)
    return json_response({"campaign_id": row["id"], "sending": False, "since": None})


@below.post("/campaigns/{campaign_id}/sending/next", response_model=Rows, openapi_extra=SENDERS)
async def next_(request: Request, campaign_id: str, asked: NextAsked | None = None) -> Response:
    """The rows to press SEND on: the caller's own first, topped up with rows nobody else was shown."""
    row = request.state.campaign
    state, user = request.app.state, user_of(request)
    if row["ended_at"] is not None:
        raise REFUSALS[Refused.CAMPAIGN_ENDED]
    if not await store_sending.is_sending(state.pool, row["account"], row["id"], user.user_id):
        raise REFUSALS[Refused.NOT_SENDING]
    asked = asked or NextAsked(limit=50, fair=False)
    rows = await store_sending.next_rows(
        state.pool,
        state.vault,
        row["account"],
        row["id"],
        user.user_id,
        asked.limit,
        state.settings.claim_s,
        asked.fair,
    )
    campaign = await _campaign(request)
    shown = [shown_row(found, campaign) for found in rows]
    return json_response({"recipients": shown, "useful_until": campaign.useful_until})


def shown_row(row: Shown, campaign: Campaign) -> dict[str, Any]:
    columns = row.person.columns
    return {
        "recipient_id": row.recipient_id,
        "phone": row.person.number,
        "first_name": _cell(columns, "first_name"),
        "last_name": _cell(columns, "last_name"),
        "text": campaign.template.render(columns),
        "position": row.position,
    }


def _cell(columns: dict[str, str], field: str) -> str:
    """What the merge field would be filled with."""
    column = column_for(field, tuple(columns))
    return columns[column] if column is not None else ""


@direct.post("/campaigns/{campaign_id}/recipients/{recipient_id}/send", response_model=Sent, openapi_extra=SENDERS)
async def send(request: Request) -> Response:
    """SEND: one press, one text. A repeat, by anyone and also after END, gives the first answer again."""
    campaign = await _campaign(request)
    recipient_id = request.path_params["recipient_id"].lower()
    if not is_uuid(recipient_id):
        return problem_response(REFUSALS[Refused.NOT_FOUND])
    answer = await _press(request, campaign, recipient_id)
    if isinstance(answer, Refused):
        return problem_response(REFUSALS[answer])
    states = {} if answer.first else await _states(request, campaign, [answer])
    return json_response(_as_sent(answer, states))


class Recipient(BaseModel):
    recipient_id: str = Field(max_length=64)  # bounded, so that half a character (a lone surrogate) is refused too


class BatchAsked(BaseModel):
    recipients: list[Recipient]


@guarded.post("/campaigns/{campaign_id}/send", response_model=Results, openapi_extra=SENDERS)
async def send_collected(request: Request, campaign_id: str, asked: BatchAsked) -> Response:
    """The presses collected while a connection was away, each answered as SEND answers it."""
    campaign = await _campaign(request)
    if len(asked.recipients) > MAX_BATCH:
        raise Problem(422, "too_many", f"At most {MAX_BATCH} presses at a time.")
    answers = await _press_all(request, campaign, [r.recipient_id.lower() for r in asked.recipients])
    repeats = [answer for answer in answers if isinstance(answer, Processed) and not answer.first]
    states = await _states(request, campaign, repeats) if repeats else {}
    results = [
        _as_result(asked_for.recipient_id, answer, states)
        for asked_for, answer in zip(asked.recipients, answers, strict=True)
    ]
    return json_response({"results": results})


async def _press_all(request: Request, campaign: Campaign, recipient_ids: list[str]) -> list[Answer]:
    presses: Presses = request.app.state.presses
    hand = _hand(request)
    good = [Press(rid, campaign, hand) for rid in recipient_ids if is_uuid(rid)]
    answers = dict(zip([p.recipient_id for p in good], await presses.press_all(good), strict=True)) if good else {}
    return [answers.get(rid, Refused.NOT_FOUND) for rid in recipient_ids]


async def _press(request: Request, campaign: Campaign, recipient_id: str) -> Answer:
    presses: Presses = request.app.state.presses
    return await presses.press(Press(recipient_id, campaign, _hand(request)))


def _hand(request: Request) -> Hand:
    """Who presses, and in what: the client's own name for itself, as far as it can be printed."""
    claims = claims_of(request)
    agent = request.headers.get("user-agent", "")[:MAX_CLIENT]
    token_id = claims.token_id if is_uuid(claims.token_id) else None
    return Hand(claims.user.user_id, token_id, agent if agent.isprintable() and agent else None)


async def _campaign(request: Request) -> Campaign:
    """What never changes of the campaign, remembered: a thousand presses ask for the same one."""
    campaign_id = request.path_params["campaign_id"].lower()
    known: dict[tuple[str, str], Campaign] = request.app.state.campaigns
    key = (user_of(request).account_id, campaign_id)
    if key not in known:
        if len(known) >= 10_000:
            known.clear()
        known[key] = store.campaign_of(await opened_row(request, await campaign_row(request, campaign_id)))
    return known[key]


async def _states(request: Request, campaign: Campaign, repeats: list[Processed]) -> dict[str, str]:
    forwarder: Forwarder = request.app.state.forwarder
    return await forwarder.states(request, campaign.campaign_id, [repeat.recipient_id for repeat in repeats])


def _as_sent(answer: Processed, states: dict[str, str]) -> dict[str, Any]:
    """A message that was just SENT, or whose later state cannot be asked for now, waits."""
    state = states.get(answer.recipient_id, "waiting")
    return {
        "recipient_id": answer.recipient_id,
        "state": "waiting" if state == "unprocessed" else state,
        "processed_at": answer.processed_at,
        "processed_by": answer.processed_by,
        "due_at": answer.due_at,
    }


def _as_result(recipient_id: str, answer: Answer, states: dict[str, str]) -> dict[str, Any]:
    if isinstance(answer, Refused):
        problem = REFUSALS[answer]
        return {"recipient_id": recipient_id, "status": problem.status, "code": problem.code}
    return {"status": 200, **_as_sent(answer, states)}


router.include_router(below)
router.include_router(guarded)
