"""Sessions and tokens over the API: sign in, sign out, make, list, end."""

import math
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from kernel.openapi import opens, refuses
from kernel.tokens import BadToken, Claims, Role, admit, bearer
from kernel.web import (
    EVERYBODY,
    Guarded,
    Handler,
    Problem,
    is_uuid,
    json_response,
    needs,
    problem_response,
    read_body,
    user_of,
)
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from send_intake import store_tokens
from send_intake.app_access import Access, Refused
from send_intake.app_passwords import MOST
from send_intake.gateway_oidc import IssuerAway
from send_intake.origin import client_address
from send_intake.store_tokens import Made, NotAllowed

MAX_NAME = 100
MAX_TOKEN = 16 * 1024
DAYS, MOST_DAYS = 90, 366
SIGN_IN = opens("gives a token for a name and its password, or an issuer's word")
MINE = needs(*EVERYBODY)  # everybody's own; a manager's are all of the account


class Open(APIRoute):
    """A route for those who have yet to sign in: what signs them in is in the body, which is bounded. Without: 401."""

    def get_route_handler(self) -> Handler:
        inner = super().get_route_handler()

        async def opened(request: Request) -> Response:
            request._body = await read_body(request, MAX_TOKEN * 2)
            if not request._body:
                raise Problem(401, "unauthorized", "Account, name and password are needed, or the issuer's token.")
            return await inner(request)

        return opened


open_ = APIRouter(route_class=Open, tags=["access"])
router = APIRouter(route_class=Guarded, tags=["access"])


def _storable(text: str) -> str:
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ValueError("there is a character in it that no text has")
    return text


Text = Annotated[str, Field(min_length=1, max_length=MAX_NAME), AfterValidator(_storable)]


class SignInAsked(BaseModel):
    """Either account, name and password, or a token of the OpenID Connect issuer."""

    model_config = ConfigDict(strict=True)

    account: Text | None = None
    name: Text | None = None
    password: str | None = Field(None, min_length=1, max_length=MOST)
    oidc_token: str | None = Field(None, min_length=1, max_length=MAX_TOKEN)

    @model_validator(mode="after")
    def _one_way(self) -> "SignInAsked":
        by_password = [self.account, self.name, self.password]
        if self.oidc_token is None and None in by_password:
            raise ValueError("account, name and password are needed, or oidc_token")
        if self.oidc_token is not None and by_password != [None] * 3:
            raise ValueError("either account, name and password, or oidc_token")
        return self


class TokenAsked(BaseModel):
    """A token for a script of the caller's; `name` says which."""

    name: Text
    days: int = Field(DAYS, ge=1, le=MOST_DAYS, strict=True)


class NewToken(BaseModel):
    """Shown once: what is kept of it is a hash."""

    token: str
    token_id: str
    kind: str
    name: str
    account_id: str
    user_id: str
    user: str
    role: str
    expires_at: datetime


class Token(BaseModel):
    token_id: str
    kind: str
    name: str
    user_id: str
    user: str
    role: str
    created_at: datetime
    expires_at: datetime
    current: bool = Field(description="Whether this request came with it.")


class Tokens(BaseModel):
    tokens: list[Token]


class EndedToken(BaseModel):
    """`everywhere`: the log has it, so every service refuses the token within a second. If not: once Kafka is back."""

    token_id: str
    everywhere: bool


@open_.post("/sessions", status_code=201, response_model=NewToken, openapi_extra=SIGN_IN, responses=refuses(401, 429))
async def sign_in(request: Request, asked: SignInAsked) -> Response:
    """Signs in: a session of twelve hours."""
    access = access_of(request)
    try:
        if asked.oidc_token is not None:
            made = await access.by_issuers_token(asked.oidc_token)
        else:
            assert asked.account and asked.name and asked.password, "the model says so"
            made = await access.by_password(asked.account, asked.name, asked.password, address_of(request))
    except IssuerAway:
        raise issuer_away() from None
    if isinstance(made, Refused):
        return refusal(made)
    return shown(made)


@router.delete("/sessions/current", response_model=EndedToken, openapi_extra=MINE)
async def sign_out(request: Request) -> Response:
    """Signs out: ends the session, or the token, that this request came with, in every service."""
    return await end_token(request, claims_of(request).token_id)


@router.get("/tokens", response_model=Tokens, openapi_extra=MINE)
async def tokens(request: Request) -> Response:
    """The caller's tokens and sessions that are good now; a manager sees the account's."""
    current = claims_of(request).token_id
    rows = await store_tokens.live(access_of(request).pool, user_of(request).account_id, _whose(request))
    return json_response({"tokens": [{**row, "current": row["token_id"] == current} for row in rows]})


@router.post("/tokens", status_code=201, response_model=NewToken, openapi_extra=MINE)
async def new_token(request: Request, asked: TokenAsked) -> Response:
    """A token for the caller, shown once. Made with a token and not in a session, it ends with that token."""
    try:
        made = await access_of(request).new_token(claims_of(request), asked.name, timedelta(days=asked.days))
    except NotAllowed:
        raise _not_any_more() from None
    return shown(made)


@router.delete("/tokens/{token_id}", response_model=EndedToken, openapi_extra=MINE)
async def end_token(request: Request, token_id: str) -> Response:
    """Ends a token in every service, and what was made with it. A repeat changes nothing."""
    access, user, token_id = access_of(request), user_of(request), token_id.lower()
    if not is_uuid(token_id) or not await store_tokens.find(access.pool, token_id, user.account_id, _whose(request)):
        raise Problem(404, "not_found", "There is no such token.")
    return json_response({"token_id": token_id, "everywhere": await access.end([token_id], user.user_id)})


def _whose(request: Request) -> str | None:
    """The caller; everybody of the account for a manager."""
    user = user_of(request)
    return None if user.role is Role.MANAGER else user.user_id


def _not_any_more() -> Problem:
    return Problem(401, "unauthorized", "A valid bearer token is needed.")


def access_of(request: Request) -> Access:
    access: Access = request.app.state.access
    return access


def claims_of(request: Request) -> Claims:
    """What the token says that this request was let in with. Raises Problem 401 if it has expired since."""
    try:
        return admit(request.app.state.token_key, bearer(request.headers.get("authorization", "")))
    except BadToken:
        raise _not_any_more() from None


def address_of(request: Request) -> str:
    """Whose tries these are."""
    peer = request.client.host if request.client else ""
    proxies: int = request.app.state.settings.trusted_proxies
    lines = request.headers.getlist("x-forwarded-for")  # a proxy may append to the line there is, or add one
    return client_address(peer, ",".join(lines), proxies)


def shown(made: Made) -> Response:
    """The only time the token is shown."""
    user = made.user
    response = json_response(
        {
            "token": made.token,
            "token_id": made.token_id,
            "kind": made.kind,
            "name": made.name,
            "account_id": user.account_id,
            "user_id": user.user_id,
            "user": user.name,
            "role": user.role,
            "expires_at": made.expires_at,
        },
        201,
    )
    response.headers["Cache-Control"] = "no-store"
    return response


def refusal(refused: Refused) -> Response:
    """401 and no word more; 429 when tries come too fast."""
    if refused.retry_after is None:
        return problem_response(Problem(401, "sign_in_failed", "These do not sign anybody in."))
    seconds = max(1, math.ceil(refused.retry_after.total_seconds()))
    said = Problem(429, "too_many_tries", f"Too many tries. Try again in {seconds} s.", retry_after_s=seconds)
    response = problem_response(said)
    response.headers["Retry-After"] = str(seconds)
    return response


def issuer_away() -> Problem:
    return Problem(503, "issuer_away", "The issuer that signs people in does not answer. Try again.")
