"""The HTTP side every service has: who calls and whether they may, problems as RFC 9457, health, metrics, OpenAPI."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any

import asyncpg
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from kernel import openapi, strict_json
from kernel.errors import retriable
from kernel.probes import Probe as Probe
from kernel.probes import add_probes
from kernel.problem import PROBLEM_JSON as PROBLEM_JSON
from kernel.problem import Problem as Problem
from kernel.problem import json_response as json_response
from kernel.problem import problem_response as problem_response
from kernel.revocations import Revocations
from kernel.tokens import BadToken, Role, User, bearer, verify

log = structlog.get_logger()

MAX_BODY_BYTES = 1024 * 1024
EVERYBODY = (Role.SENDER, Role.MANAGER, Role.AUDITOR)

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


def needs(*roles: Role, late: bool = False) -> dict[str, Any]:
    """What a route asks of its caller, declared beside it as `openapi_extra`.

    `late`: the endpoint calls `require_role` itself, because another account's id (404) is said before the role (403).
    """
    return {"security": [{"bearer": []}], "x-roles": [str(role) for role in roles], "x-late": late}


_UUID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def is_uuid(text: str) -> bool:
    """Whether it is an id as we write them. `uuid.UUID` takes far more, some of which Postgres does not."""
    return _UUID.fullmatch(text) is not None


def user_of(request: Request) -> User:
    user: User = request.state.user
    return user


def require_role(request: Request) -> None:
    """Raises Problem 403 unless the caller has one of the route's roles."""
    roles: list[str] = request.scope["handsent.roles"]
    if user_of(request).role not in roles:
        raise Problem(403, "forbidden", f"This needs the role {' or '.join(roles)}.")


def endpoint_itself(route: APIRoute) -> Handler:
    """The endpoint as it is, Request to Response: no validation layer on a hot path."""
    endpoint: Handler = route.endpoint
    return endpoint


class Guarded(APIRoute):
    """A route behind a bearer token: 401 before anything else is read, then the role, then the body."""

    inner: Callable[..., Handler] = APIRoute.get_route_handler

    async def before_role(self, request: Request) -> None:
        """For routes that say 404 before 403."""

    def get_route_handler(self) -> Handler:
        inner = self.inner()
        extra = self.openapi_extra or {}
        roles, late = extra.get("x-roles", []), extra.get("x-late", False)

        async def guarded(request: Request) -> Response:
            request.state.user = authenticate(request)
            request.scope["handsent.roles"] = roles
            await self.before_role(request)
            if not late:
                require_role(request)
            if self.body_field is not None:  # the framework would read a body of any size
                request._body = await read_body(request)
                if request._body and _JSON.match(request.headers.get("content-type", "")):
                    request._json = strict(request._body)
            return await inner(request)

        return guarded


class GuardedDirect(Guarded):
    """A guarded route whose endpoint takes the Request and answers a Response."""

    inner = endpoint_itself


class Direct(APIRoute):
    """An open route whose endpoint takes the Request and answers a Response (webhooks)."""

    get_route_handler = endpoint_itself


def authenticate(request: Request) -> User:
    """The caller behind the Authorization header. Raises Problem 401, or 503 while ended tokens are not known yet."""
    state = request.app.state
    if not state.revocations.known:
        raise Problem(503, "try_again", "The service has just started. Try again.")
    try:
        return verify(state.token_key, bearer(request.headers.get("authorization", "")), state.revocations)
    except BadToken:
        raise Problem(401, "unauthorized", "A valid bearer token is needed.") from None


async def read_body(request: Request, limit: int = MAX_BODY_BYTES) -> bytes:
    """The whole body. Raises Problem 413 as soon as it is larger than `limit` bytes."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise Problem(413, "too_large", f"The body is larger than {limit} bytes.")
    return bytes(body)


_JSON = re.compile(r"application/(?:[\w.-]+\+)?json\b", re.IGNORECASE)


def strict(body: bytes) -> Any:
    """The JSON. Raises Problem 400 malformed_json."""
    try:
        return strict_json.loads(body)
    except strict_json.Malformed as error:
        raise Problem(400, "malformed_json", f"The body is not JSON: {error}.") from None


async def read_json(request: Request) -> dict[str, Any]:
    """The body as a JSON object. Raises Problem 400 malformed_json, 413, or 422 for JSON that is not an object."""
    content = strict(await read_body(request) or b"{}")
    if not isinstance(content, dict):
        raise Problem(422, "invalid", "The body must be a JSON object.")
    return content


class _BoundedBody:
    """Refuses a body that says it is too large before it is read; uploads declare their own limit."""

    def __init__(self, app: Any, uploads: tuple[str, ...]) -> None:
        self.app, self.uploads = app, uploads

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and not scope["path"].endswith(self.uploads):
            length = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
            if length.isdigit() and int(length) > MAX_BODY_BYTES:
                problem = Problem(413, "too_large", f"The body is larger than {MAX_BODY_BYTES} bytes.")
                await problem_response(problem)(scope, receive, send)
                return
        await self.app(scope, receive, send)


def ahead_of(api: FastAPI, routes: Iterable[APIRoute]) -> ASGIApp:
    """The routes that every message comes by, then the rest: the framework's layers and routing cost 100 µs a request.

    The routes stand in `api` too, for OpenAPI, and answer the same either way. Their paths must be whole.
    """
    hot = [(route.methods or set(), route.path_regex, route.get_route_handler()) for route in routes]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for methods, pattern, handler in hot:
            if scope["type"] == "http" and scope["method"] in methods and (found := pattern.match(scope["path"])):
                request = Request({**scope, "app": api, "path_params": found.groupdict()}, receive)
                response = await answered(handler, request)
                return await response(scope, receive, send)
        return await api(scope, receive, send)

    return app


async def answered(endpoint: Handler, request: Request) -> Response:
    """The endpoint's answer, or the problem it raised."""
    try:
        return await endpoint(request)
    except Problem as problem:
        return problem_response(problem)
    except asyncio.CancelledError:  # the service stops: what was asked may have been done, and a repeat changes nothing
        return problem_response(Problem(503, "try_again", "The service is being stopped. Try again."))
    except Exception as error:
        return await _on_error(request, error)


def create_api(
    title: str,
    token_key: str,
    ready: Probe,
    status: Probe,
    uploads: tuple[str, ...] = ("/import",),
    revocations: Revocations | None = None,
    document: Callable[[FastAPI], Awaitable[dict[str, Any]]] | None = None,
) -> FastAPI:
    """A FastAPI app with the routes every service has. Paths that end in one of `uploads` bound their own bodies.

    Without `revocations` nobody is let in: they are for every service that has a route behind a token.

    `ready` raises when the service cannot do its work; `status` answers {"lag": int, "stuck": [...], ...}.
    `document` makes another OpenAPI document than the app's own.
    """
    api = FastAPI(title=title, version="1", docs_url=None, redoc_url=None, openapi_url=None)
    api.state.token_key, api.state.revocations = token_key, revocations or Revocations("")
    api.add_middleware(_BoundedBody, uploads=uploads)
    api.add_exception_handler(Problem, _on_problem)
    api.add_exception_handler(RequestValidationError, _on_invalid)
    api.add_exception_handler(HTTPException, _on_http)
    api.add_exception_handler(Exception, _on_error)
    api.add_exception_handler(ClientDisconnect, _on_error)
    away = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)
    for retried in away:
        api.add_exception_handler(retried, _on_error)
    add_probes(api, ready, status, has_tokens=revocations is not None)
    openapi.publish(api, document)
    return api


async def _on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return problem_response(error)


async def _on_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    if any(found["type"] == "json_invalid" for found in error.errors()):
        return problem_response(Problem(400, "malformed_json", "The body is not JSON."))
    fields = [{"field": ".".join(map(str, found["loc"][1:])), "problem": found["msg"]} for found in error.errors()]
    said = "; ".join(f"{found['field'] or 'body'}: {found['problem']}" for found in fields)
    return problem_response(Problem(422, "invalid", said, errors=fields))


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    codes = {400: "malformed_json", 404: "not_found", 405: "method_not_allowed"}  # 400: a body that is not UTF-8
    code = codes.get(error.status_code, "refused")
    headers = {"Allow": ", ".join(methods_of(request))} if error.status_code == 405 else None
    return problem_response(Problem(error.status_code, code, str(error.detail)), headers)


def methods_of(request: Request) -> list[str]:
    """What may be asked of this path, by any of its routes; the framework's own answer knows only the first."""
    routes = [route for route in iter_route_contexts(request.app.routes) if route.path_regex.match(request.url.path)]
    return sorted({method for route in routes for method in route.methods or ()})


async def _on_error(request: Request, error: Exception) -> Response:
    if isinstance(error, ClientDisconnect):
        return Response(status_code=400)
    if retriable(error):
        log.warning("request_failed", path=request.url.path, error=type(error).__name__)
        return problem_response(Problem(503, "try_again", "Something this needs is away; nothing was lost. Try again."))
    log.error("request_broke", path=request.url.path, exc_info=error)
    return problem_response(Problem(500, "internal", "Something went wrong on our side."))
