"""The front door: signing in and out. These pages need no script."""

import hmac
from urllib.parse import urlsplit

from fastapi import APIRouter, Request, Response
from itsdangerous import BadData, URLSafeTimedSerializer
from kernel.openapi import opens
from kernel.tokens import User
from kernel.web import Direct, Problem
from starlette.responses import RedirectResponse

from send_intake import store_sending
from send_intake.api_cookie import cross_site, drop_session, may_act, put_session, said_ours
from send_intake.api_sessions import MAX_NAME, access_of, address_of, issuer_away, refusal
from send_intake.app_access import SESSION, Refused
from send_intake.app_passwords import MOST
from send_intake.gateway_oidc import BadIdentity, IssuerAway, OidcIssuer, Started
from send_intake.settings import Settings
from send_intake.store_tokens import Made
from send_intake.web import form_of, local, page, see_other, signed_in

router = APIRouter(route_class=Direct, include_in_schema=False)

STARTED = "handsent_oidc"  # what is remembered of a sign-in at the issuer; signed, and good for a few minutes
STARTED_S = 600
FRONT_DOOR = opens("where people sign in and out; shows a person nothing but themselves")
NOT_THESE = "That did not sign you in. Check what you entered."


async def sign_in_page(request: Request) -> Response:
    told = "You are signed out." if request.query_params.get("signed") == "out" else ""
    return _door(request, told=told, next=local(request.query_params.get("next", "/")))


async def sign_in(request: Request) -> Response:
    """Takes either form of the page."""
    if said_ours(request) is False:  # else a stranger's page could sign somebody in as the stranger
        raise cross_site()
    form = await form_of(request)
    account, name = form.get("account", ""), form.get("name", "")
    access = access_of(request)
    if "token" in form:
        made = await access.by_token(form["token"].strip())
    elif _well_formed(account, name, form.get("password", "")):
        made = await access.by_password(account, name, form["password"], address_of(request))
    else:
        made = Refused()
    if isinstance(made, Refused):
        return _not_signed_in(request, made, account, name, next=form.get("next", "/"))
    response = see_other(local(form.get("next", "/")))
    _put(request, response, made)
    return response


async def sign_out(request: Request) -> Response:
    """Ends the session in every service; the rows that were shown go back."""
    if not may_act(request):
        raise cross_site()
    claims = signed_in(request)
    if claims is not None:
        await _gives_back(request, claims.user)
        await access_of(request).end([claims.token_id], claims.user.user_id)
    response = RedirectResponse("/sign-in?signed=out", 303)
    drop_session(response, _secure(request))
    return response


async def _gives_back(request: Request, user: User) -> None:
    """The page says so itself when it goes, but by then it may have no session any more."""
    pool = request.app.state.pool
    held = await store_sending.of_user(pool, user.account_id, user.user_id)
    if held is not None:
        await store_sending.leave(pool, user.account_id, held["campaign_id"], user.user_id)


# --- by way of the issuer --------------------------------------------------------------------------------


async def oidc_start(request: Request) -> Response:
    """Sends the browser to the issuer."""
    issuer, own_url = _needed_issuer(request), _settings(request).own_url
    if request.headers.get("host", "").lower() != urlsplit(own_url).netloc.lower():
        return RedirectResponse(f"{own_url}/oidc/start", 303)  # the cookie must be of the host it will come back to
    try:
        url, started = await issuer.start(_redirect_uri(request))
    except IssuerAway:
        raise issuer_away() from None
    response = RedirectResponse(url, 303, headers={"Cache-Control": "no-store"})
    response.set_cookie(STARTED, _sealer(request).dumps(started), max_age=STARTED_S, path="/oidc",
                        secure=_secure(request), httponly=True, samesite="lax")  # fmt: skip
    return response


async def oidc_callback(request: Request) -> Response:
    """Where the issuer sends the browser back to."""
    issuer, started = _needed_issuer(request), _started(request)
    try:
        if started is None or not hmac.compare_digest(started.state, request.query_params.get("state", "")):
            raise BadIdentity("no sign-in was started in this browser")
        query = request.scope["query_string"].decode("ascii")
        subject = await issuer.finish(_redirect_uri(request), started, f"{_redirect_uri(request)}?{query}")
        made = await access_of(request).by_identity(subject)
    except IssuerAway:
        raise issuer_away() from None
    except (BadIdentity, UnicodeDecodeError, TypeError):
        made = Refused()
    if isinstance(made, Refused):
        response = _not_signed_in(request, made, words="Your organisation’s sign-in is not linked to anybody here.")
    else:
        response = page(request, "onwards.html")
        _put(request, response, made)
    response.delete_cookie(STARTED, path="/oidc", httponly=True, samesite="lax")
    return response


def _redirect_uri(request: Request) -> str:
    return f"{_settings(request).own_url}/oidc/callback"


def _started(request: Request) -> Started | None:
    try:
        return Started(*_sealer(request).loads(request.cookies.get(STARTED, ""), max_age=STARTED_S))
    except (BadData, TypeError):
        return None


def _sealer(request: Request) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(request.app.state.token_key, salt="sign-in at the issuer")


def _needed_issuer(request: Request) -> OidcIssuer:
    issuer = _issuer(request)
    if issuer is None:
        raise Problem(404, "not_found", "No issuer signs people in here.")
    return issuer


def _issuer(request: Request) -> OidcIssuer | None:
    return access_of(request).issuer


# --- common to all ---------------------------------------------------------------------------------------


def _not_signed_in(
    request: Request, refused: Refused, account: str = "", name: str = "", words: str = NOT_THESE, next: str = "/"
) -> Response:
    answer = refusal(refused)
    if refused.retry_after is not None:
        words = f"Too many tries. Wait {answer.headers['retry-after']} seconds."
    shown = _door(request, answer.status_code, alert=words, account=account, name=name, next=local(next))
    if refused.retry_after is not None:
        shown.headers["Retry-After"] = answer.headers["retry-after"]
    return shown


def _door(request: Request, status: int = 200, **about: str) -> Response:
    """The page with the ways in. `alert`: what went wrong; `told`: what has been done."""
    blank = {"alert": "", "told": "", "account": "", "name": "", "next": "/"}
    return page(request, "sign_in.html", status, **blank | about, oidc=_issuer(request) is not None)


def _put(request: Request, response: Response, made: Made) -> None:
    put_session(response, made.token, int(SESSION.total_seconds()), _secure(request))


def _secure(request: Request) -> bool:
    """Whether the browser talks https to us, or to a proxy of ours."""
    settings = _settings(request)
    said = request.headers.get("x-forwarded-proto") if settings.trusted_proxies else request.url.scheme
    return "https" in (said, urlsplit(settings.own_url).scheme)


def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


def _well_formed(account: str, name: str, password: str) -> bool:
    short = all(0 < len(text) <= MAX_NAME and "\0" not in text for text in (account, name))
    return short and 0 < len(password) <= MOST


for path, endpoint, method in (
    ("/sign-in", sign_in_page, "GET"),
    ("/sign-in", sign_in, "POST"),
    ("/sign-out", sign_out, "POST"),
    ("/oidc/start", oidc_start, "GET"),
    ("/oidc/callback", oidc_callback, "GET"),
):
    router.add_api_route(path, endpoint, methods=[method], openapi_extra=FRONT_DOOR)
