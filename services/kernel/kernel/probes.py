"""What a supervisor asks every service: alive, ready, how far behind. Open, so nothing of anybody is in the answers."""

from collections.abc import Awaitable, Callable
from typing import Any, Literal

from fastapi import FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, ConfigDict

from kernel.openapi import opens, text
from kernel.problem import Problem, json_response, problem_response

Probe = Callable[[], Awaitable[dict[str, Any]]]
SUPERVISED = opens("for supervisors and monitoring, which have no account; counts and ids of parts, nothing of people")


class Alive(BaseModel):
    status: Literal["alive"]


class Ready(BaseModel):
    status: Literal["ready"]


class Stuck(BaseModel):
    """A partition that stands still until an operator decides."""

    model_config = ConfigDict(extra="allow")

    topic: str
    reason: str


class Status(BaseModel):
    """`lag`: events not yet read, null while Kafka is away. A service adds figures of its own."""

    model_config = ConfigDict(extra="allow")

    lag: int | None
    stuck: list[Stuck]


def add_probes(api: FastAPI, ready: Probe, status: Probe, has_tokens: bool) -> None:
    """`ready` raises when the service cannot do its work; `status` answers {"lag": int, "stuck": [...], ...}."""

    @api.get("/healthz", tags=["probes"], response_model=Alive, openapi_extra=SUPERVISED)
    async def healthz() -> Response:
        """The process is alive."""
        return json_response({"status": "alive"})

    @api.get("/readyz", tags=["probes"], response_model=Ready, openapi_extra=SUPERVISED)
    async def readyz() -> Response:
        """The service can do its work: Postgres answers. While Kafka is away, SENDs are still taken and kept."""
        try:
            if has_tokens and not api.state.revocations.known:
                raise RuntimeError("which tokens were ended is not known yet")
            return json_response({"status": "ready", **await ready()})
        except Exception as error:
            return problem_response(Problem(503, "not_ready", f"Not ready: {type(error).__name__}."))

    @api.get("/status", tags=["probes"], response_model=Status, openapi_extra=SUPERVISED)
    async def status_() -> Response:
        """Lag, and what stands still; `handsent status` reads it."""
        return json_response(await status())

    @api.get(
        "/metrics",
        tags=["probes"],
        response_class=Response,
        responses=text("text/plain", "Figures in Prometheus' format"),
        openapi_extra=SUPERVISED,
    )
    async def metrics() -> Response:
        """Prometheus metrics."""
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
