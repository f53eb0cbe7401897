"""The numbers an account sends from."""

from fastapi import APIRouter, Request, Response
from kernel.tokens import Role
from kernel.web import Guarded, Problem, json_response, needs, user_of
from pydantic import BaseModel

from send_intake import store
from send_intake.api_campaigns import FOREIGN_SENDER
from send_intake.request import Refusal, read_sender

router = APIRouter(route_class=Guarded, tags=["campaigns"])


class SenderAsked(BaseModel):
    """A number that the account sends from; the provider must know it as yours."""

    number: str


class Sender(BaseModel):
    """A number of the account, E.164; a campaign that names none is sent from the `default` one."""

    number: str
    default: bool


class Senders(BaseModel):
    senders: list[Sender]


@router.post(
    "/senders",
    status_code=201,
    response_model=Sender,
    responses={200: {"model": Sender, "description": "It was the account's already."}},
    openapi_extra=needs(Role.MANAGER),
)
async def add(request: Request, asked: SenderAsked) -> Response:
    """The number is the account's from now on, for ever; 200 if it was already."""
    state, account_id = request.app.state, user_of(request).account_id
    number = read_sender(asked.number, state.settings.default_region)
    if isinstance(number, Refusal):
        raise Problem(422, number.code, number.detail)
    try:
        new = await store.add_sender(state.pool, account_id, number)
    except store.ForeignSender:
        raise FOREIGN_SENDER from None
    [row] = [row for row in await store.sender_rows(state.pool, account_id) if row["number"] == number]
    return json_response({"number": number, "default": row["is_default"]}, 201 if new else 200)


@router.get("/senders", response_model=Senders, openapi_extra=needs(Role.MANAGER, Role.AUDITOR))
async def list_(request: Request) -> Response:
    """The account's numbers, the default one first."""
    rows = await store.sender_rows(request.app.state.pool, user_of(request).account_id)
    return json_response({"senders": [{"number": row["number"], "default": row["is_default"]} for row in rows]})
