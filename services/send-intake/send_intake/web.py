"""What every page is made of: who asks, the frame around it, and the few files it loads, all of them ours."""

import hashlib
import mimetypes
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, quote

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from kernel.errors import retriable
from kernel.openapi import opens
from kernel.tokens import BadToken, Claims, Role, admit
from kernel.web import Direct, Handler, Problem, read_body, user_of
from starlette.responses import HTMLResponse, RedirectResponse

from send_intake import views
from send_intake.api_cookie import another_user, cross_site, may_act, session_of

ROOT = Path(__file__).parent
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}
MOST_FORM = 16 * 1024
FOR_EVER = "public, max-age=31536000, immutable"
AWAY = "Something this page needs is away at the moment. Nothing was lost. Try again."


class Asset(NamedTuple):
    """A file of ours as it is served: its address changes with its bytes, so that it can be kept for ever."""

    body: bytes
    media_type: str
    tag: str


def _asset(path: Path) -> Asset:
    body, media_type = path.read_bytes(), mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    textual = media_type.startswith("text/") or media_type.endswith("svg+xml")
    return Asset(body, f"{media_type}; charset=utf-8" if textual else media_type, hashlib.sha256(body).hexdigest()[:16])


ASSETS = {path.name: _asset(path) for path in sorted((ROOT / "static").iterdir())}


def address_of(name: str) -> str:
    """Where a page finds one of our files."""
    return f"/static/{ASSETS[name].tag}/{name}"


TEMPLATES = Environment(
    loader=FileSystemLoader(ROOT / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.globals |= {"asset": address_of, "states": views.STATES, "Role": Role}
TEMPLATES.filters |= views.FILTERS


def page(request: Request, template: str, status: int = 200, **about: Any) -> Response:
    """The page, or with `?part` in the address the part of it that changes by itself."""
    user = getattr(request.state, "user", None)
    text = TEMPLATES.get_template(template).render(user=user, path=request.url.path, **about)
    return HTMLResponse(text, status, headers=dict(HEADERS))


def see_other(path: str) -> Response:
    return RedirectResponse(path, 303, headers={"Cache-Control": "no-store"})


def for_people(*roles: Role) -> dict[str, Any]:
    """What a page's route declares: whoever is not signed in is sent to the door; `roles` are all if none is named."""
    why = "a page: whoever is not signed in is sent to the sign-in page"
    return {**opens(why), "x-page-roles": [str(role) for role in roles or Role]}


class Page(APIRoute):
    """A page's route: its endpoint takes the Request of somebody who is signed in, and answers a Response."""

    def get_route_handler(self) -> Handler:
        endpoint: Handler = self.endpoint
        roles = (self.openapi_extra or {})["x-page-roles"]

        async def paged(request: Request) -> Response:
            claims = signed_in(request)
            if claims is None:
                return to_the_door(request)
            request.state.user = claims.user
            try:
                if not may_act(request):
                    raise cross_site()
                if user_of(request).role not in roles:
                    raise Problem(403, "forbidden", f"This needs the role {' or '.join(roles)}.")
                return await endpoint(request)
            except Problem as problem:
                return page(request, "problem.html", problem.status, said=problem.detail, end_at=None)
            except Exception as error:
                if not retriable(error):
                    raise
                return page(request, "problem.html", 503, said=AWAY, end_at=None)

        return paged


def signed_in(request: Request) -> Claims | None:
    """What the session in the cookie says, if it is good now."""
    state = request.app.state
    try:
        return admit(state.token_key, session_of(request), state.revocations) if state.revocations.known else None
    except BadToken:
        return None


def to_the_door(request: Request) -> Response:
    asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    wanted = f"?next={quote(asked)}" if request.method == "GET" and asked != "/" else ""
    return see_other(f"/sign-in{wanted}")


def local(path: str) -> str:
    """A path of ours to go on to after signing in; the first page for anything else."""
    good = path.startswith("/") and not path.startswith(("//", "/\\", "/sign-", "/api/")) and path.isprintable()
    return path if good and len(path) < 2000 else "/"


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form, the first of each name. Raises Problem 413, 415, 422; 409 for another user's page."""
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        raise Problem(415, "unsupported_media_type", "Send the form of the page.")
    body = (await read_body(request, MOST_FORM)).decode("utf-8", "replace")
    try:
        parsed = parse_qs(body, keep_blank_values=True, max_num_fields=10)
    except ValueError:
        raise Problem(422, "invalid", "Send the form of the page.") from None
    form = {name: values[0] for name, values in parsed.items()}
    user = getattr(request.state, "user", None)
    if user is not None and form.get("user", user.user_id) != user.user_id:
        raise another_user()
    return form


router = APIRouter(route_class=Direct, include_in_schema=False)


async def _static(request: Request) -> Response:
    """Our style, our script, our sign."""
    asset = ASSETS.get(request.path_params["name"])
    if asset is None or asset.tag != request.path_params["tag"]:
        raise Problem(404, "not_found", "There is no such file.")
    return Response(asset.body, media_type=asset.media_type, headers={"Cache-Control": FOR_EVER})


router.add_api_route("/static/{tag}/{name}", _static, methods=["GET"], openapi_extra=opens("style, script and sign"))
