"""The OpenAPI document says what is answered: the refusals that a kind of route can give are stated here, once."""

import re
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Response
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from kernel.problem import PROBLEM_JSON, json_response

Operation = dict[str, Any]

PROBLEM: dict[str, Any] = {
    "title": "Problem",
    "description": "A refusal (RFC 9457). `code` is stable and for programs, `detail` is for people.",
    "type": "object",
    "required": ["type", "title", "status", "code", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "code": {"type": "string", "pattern": "^[a-z][a-z_]*$"},
        "detail": {"type": "string"},
    },
}
BEARER = {"type": "http", "scheme": "bearer", "description": "The token that `handsent user add` prints."}
# A name in a path may be anything: what is no id of ours is 404 like an unknown one.
ANY_ID = {"type": "string"}


def text(media_type: str, about: str) -> dict[int | str, dict[str, Any]]:
    """`responses` of a route that answers 200 with something other than JSON."""
    return {200: {"description": about, "content": {media_type: {"schema": {"type": "string"}}}}}


def refuses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """`responses` of a route that has refusals of its own, beyond those of its kind."""
    return {status: _refusal(status) for status in statuses}


def opens(why: str) -> dict[str, Any]:
    """`openapi_extra` of a route that asks for no token: why that is right, declared beside it."""
    return {"x-open": why}


def takes(model: type[BaseModel], required: bool = False) -> dict[str, Any]:
    """`openapi_extra` of a route that reads its JSON itself."""
    return _takes("application/json", model.model_json_schema(), required)


def takes_json() -> dict[str, Any]:
    """`openapi_extra` of a route that reads JSON of somebody else's making."""
    return _takes("application/json", {"type": "object", "additionalProperties": True})


def takes_csv() -> dict[str, Any]:
    """`openapi_extra` of a route that reads a list, piece by piece."""
    return _takes("text/csv", {"type": "string"})


def takes_form() -> dict[str, Any]:
    """`openapi_extra` of a route that reads a form."""
    return _takes("application/x-www-form-urlencoded", {"type": "object", "additionalProperties": {"type": "string"}})


def _takes(media_type: str, schema: dict[str, Any], required: bool = True) -> dict[str, Any]:
    return {"requestBody": {"required": required, "content": {media_type: {"schema": schema}}}}


def publish(api: FastAPI, make: Callable[[FastAPI], Awaitable[dict[str, Any]]] | None = None) -> None:
    """`/openapi.json`, as `make` makes it each time, else `document`, made once."""
    made: dict[str, Any] = {}

    @api.get("/openapi.json", include_in_schema=False, openapi_extra=opens("how to call us, for whoever will call"))
    async def openapi_json() -> Response:
        if make is not None:
            return json_response(await make(api))
        made.update(made or document(api))
        return json_response(made)


def document(api: FastAPI) -> dict[str, Any]:
    """The framework's document, with every refusal in it and every name of a path."""
    found = get_openapi(title=api.title, version=api.version, routes=api.routes)
    for path, operations in found["paths"].items():
        for method, operation in operations.items():
            _name_the_path(path, operation)
            operation["responses"] = _responses(method, path, operation)
    components = found.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for of_the_framework in ("HTTPValidationError", "ValidationError"):
        schemas.pop(of_the_framework, None)
    schemas["Problem"] = PROBLEM
    components["securitySchemes"] = {"bearer": BEARER}
    return found


def _name_the_path(path: str, operation: Operation) -> None:
    """Endpoints that take the bare request have parameters that the framework does not see."""
    known = {parameter["name"] for parameter in operation.get("parameters", ()) if parameter["in"] == "path"}
    missing = [name for name in re.findall(r"\{(\w+)\}", path) if name not in known]
    if missing:
        named = [{"name": name, "in": "path", "required": True, "schema": ANY_ID} for name in missing]
        operation["parameters"] = [*named, *operation.get("parameters", ())]


def _responses(method: str, path: str, operation: Operation) -> dict[str, Any]:
    own = {status: about for status, about in operation["responses"].items() if status != "422"}
    refusals = {str(status): _refusal(status) for status in refusals_of(method, path, operation)}
    return dict(sorted({**refusals, **own}.items()))


def refusals_of(method: str, path: str, operation: Operation) -> set[int]:
    """How a route of this kind says no. What is refused before any route is found has 408, 414 and 431 beside these."""
    found = {400, 415, 503}  # a query with a NUL, a compressed body, Postgres is away
    if operation.get("security"):
        found |= {401, 403}
    if "{" in path:
        found |= {404}
    if operation.get("parameters"):
        found |= {422}
    if "requestBody" in operation:
        found |= {408, 413, 422}
    if method != "get":
        found |= {409}
    return found


def _refusal(status: int) -> dict[str, Any]:
    content = {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {"description": HTTPStatus(status).phrase, "content": content}
