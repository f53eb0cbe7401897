"""Answers: JSON as every service writes it, and refusals as RFC 9457."""

from http import HTTPStatus
from typing import Any

import orjson
from fastapi import Response

PROBLEM_JSON = "application/problem+json"


class Problem(Exception):
    """An answer that says no: RFC 9457 with a stable `code`; `extra` members ride along."""

    def __init__(self, status: int, code: str, detail: str, **extra: Any) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail, self.extra = status, code, detail, extra

    def as_dict(self) -> dict[str, Any]:
        title = HTTPStatus(self.status).phrase
        about = {"type": "about:blank", "title": title, "status": self.status, "code": self.code}
        return {**about, "detail": self.detail, **self.extra}


def json_response(content: Any, status: int = 200) -> Response:
    """JSON by orjson: times as RFC 3339 UTC ending in Z."""
    body = orjson.dumps(content, option=orjson.OPT_UTC_Z)
    return Response(body, status, media_type="application/json")


def problem_response(problem: Problem, headers: dict[str, str] | None = None) -> Response:
    if problem.status == 401:
        headers = {"WWW-Authenticate": "Bearer", **(headers or {})}
    body = orjson.dumps(problem.as_dict(), option=orjson.OPT_UTC_Z)
    return Response(body, problem.status, headers=headers, media_type=PROBLEM_JSON)
