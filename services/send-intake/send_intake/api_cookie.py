"""A browser's way in: the session is in a cookie no script can read, and becomes a bearer token before anybody asks."""

from kernel.tokens import BadToken, admit
from kernel.web import Problem, problem_response
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from send_intake.origin import SAFE, is_ours

COOKIE = "handsent_session"
PAGE_IS_OF = "handsent-user"
API = ("/api/",)


class CookieDoor:
    """In front of the API. A request with an Authorization header of its own is none of a browser's doing.

    A page says whose it is (`Handsent-User`), for the cookie may have become somebody else's since it was loaded: what
    was pressed there is never put down to them.
    """

    def __init__(self, app: ASGIApp, token_key: str) -> None:
        self._app, self._token_key = app, token_key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(API):
            names = [name for name, _ in scope["headers"]]
            if b"cookie" in names:
                request = Request(scope)
                token = session_of(request)
                if token and b"authorization" not in names:
                    refused = self._refused(request, token)
                    if refused is not None:
                        await problem_response(refused)(scope, receive, send)
                        return
                    scope["headers"].append((b"authorization", b"Bearer " + token.encode()))
                # The services behind get the bearer token and no cookie.
                scope["headers"] = [(name, value) for name, value in scope["headers"] if name != b"cookie"]
        await self._app(scope, receive, send)

    def _refused(self, request: Request, token: str) -> Problem | None:
        if not may_act(request):
            return cross_site()
        page_is_of = request.headers.get(PAGE_IS_OF)
        try:
            if page_is_of and admit(self._token_key, token).user.user_id != page_is_of:
                return another_user()
        except BadToken:
            pass  # that it is none is for the API to say
        return None


def session_of(request: Request) -> str:
    """The token in the cookie, or an empty text."""
    found = request.cookies.get(COOKIE, "")
    return found if found.isascii() and found.isprintable() else ""


def may_act(request: Request) -> bool:
    """Whether a request that a cookie vouches for may change anything: only if it says that it is from our pages."""
    return request.method in SAFE or said_ours(request) is True


def said_ours(request: Request) -> bool | None:
    headers = request.headers
    return is_ours(headers.get("sec-fetch-site"), headers.get("origin"), headers.get("host", ""))


def cross_site() -> Problem:
    return Problem(403, "cross_site", "This came from another site's page, or does not say where it came from.")


def another_user() -> Problem:
    return Problem(409, "another_user", "Somebody else has signed in in this browser since this page was loaded.")


def put_session(response: Response, token: str, max_age_s: int, secure: bool) -> None:
    response.set_cookie(COOKIE, token, max_age=max_age_s, path="/", secure=secure, httponly=True, samesite="strict")


def drop_session(response: Response, secure: bool) -> None:
    response.delete_cookie(COOKIE, path="/", secure=secure, httponly=True, samesite="strict")
