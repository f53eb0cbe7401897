"""What people ask the dispatcher: unknown outcomes and their resolution, replies, how things stand."""

import asyncio
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, FastAPI, Query, Request
from kernel.database import Pool, acting_for
from kernel.health import Health
from kernel.outbox import Outbox
from kernel.revocations import Revocations
from kernel.tokens import Role, User
from kernel.vault import Vault
from kernel.web import EVERYBODY, Guarded, Problem, create_api, is_uuid, json_response, needs, user_of
from prometheus_client import Gauge
from pydantic import BaseModel, Field
from starlette.types import ASGIApp

from dispatcher import api_answers as answers
from dispatcher import store_replies
from dispatcher.api_holds import Holds
from dispatcher.api_opt_outs import OptOuts
from dispatcher.api_persons import Persons
from dispatcher.api_queue import Queue, figures
from dispatcher.api_webhooks import Webhooks
from dispatcher.app_inbox import Inbox
from dispatcher.app_lanes import Lanes
from dispatcher.attempt import Attempt, State
from dispatcher.keywords import Verdict
from dispatcher.outcome import NAMELESS, Accepted, NotAccepted, Outcome, Rejected
from dispatcher.settings import Settings
from dispatcher.store import q
from dispatcher.store_attempts import Proof, settle
from schemas.reasons import FailureReason, NotAcceptedReason

MOST_LISTED = 500
QUEUE = Gauge("handsent_dispatch_queue", "Messages that wait for their turn, up to 100,000")
UNKNOWN = Gauge("handsent_dispatch_unknown", "Attempts nobody knows the outcome of")

RecipientId = UUID
Limit = Annotated[int, Query(ge=1, le=MOST_LISTED)]


class Found(StrEnum):
    """What an operator found out about an unknown attempt."""

    ACCEPTED = "accepted"
    NOT_ACCEPTED = "not_accepted"
    REJECTED = "rejected"


class Resolution(BaseModel):
    """An operator's word: what happened, and how they know."""

    resolution: Found
    reason: str = Field(min_length=1, max_length=1000, pattern=r"^[^\x00]*[^\s\x00][^\x00]*$")
    carrier_message_id: str = Field("", max_length=64, pattern=r"^[!-~]*$")

    def as_outcome(self) -> Outcome:
        match self.resolution:
            case Found.ACCEPTED:
                return Accepted(self.carrier_message_id or NAMELESS)
            case Found.REJECTED:
                return Rejected(FailureReason.UNKNOWN, None)
            case Found.NOT_ACCEPTED:
                return NotAccepted(NotAcceptedReason.UNKNOWN)


class OfMessage(Guarded):
    """A route about a message: 401, then 404 for what is not the account's, then the role, then the body."""

    async def before_role(self, request: Request) -> None:
        recipient_id, account_id = request.path_params["recipient_id"].lower(), user_of(request).account_id
        if is_uuid(recipient_id):
            async with acting_for(request.app.state.pool, account_id) as connection:
                if await connection.fetchval(q.find_message, recipient_id, account_id):
                    return
        raise Problem(404, "not_found", "This account has no such message.")


class Operations:
    """Unknown outcomes and replies of the caller's account."""

    def __init__(self, pool: Pool, vault: Vault, relay: asyncio.Event, lanes: Lanes) -> None:
        self._pool, self._vault, self._relay, self._lanes = pool, vault, relay, lanes

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/api/v1", route_class=Guarded)
        router.add_api_route("/unresolved", self.unresolved, methods=["GET"], tags=["unresolved"],
                             openapi_extra=needs(Role.MANAGER, Role.AUDITOR),
                             response_model=answers.UnresolvedPage)  # fmt: skip
        router.add_api_route("/unresolved/{recipient_id}", self.resolve, methods=["POST"], tags=["unresolved"],
                             route_class_override=OfMessage, openapi_extra=needs(Role.MANAGER),
                             response_model=answers.Resolved)  # fmt: skip
        router.add_api_route("/replies", self.replies, methods=["GET"], tags=["replies"],
                             openapi_extra=needs(*EVERYBODY), response_model=answers.ReplyPage)  # fmt: skip
        return router

    async def unresolved(self, request: Request, limit: Limit = 100) -> Any:
        """Messages nobody knows the outcome of, the oldest first."""
        account_id = user_of(request).account_id
        async with acting_for(self._pool, account_id) as connection:
            rows = await connection.fetch(q.list_unresolved, account_id, limit)
        return json_response({"unresolved": [dict(row) for row in rows]})

    async def resolve(self, request: Request, recipient_id: RecipientId, found: Resolution) -> Any:
        """Says what became of it: `accepted`, `rejected`, or `not_accepted`, which sends it again."""
        attempt = await self._resolve(str(recipient_id), found, user_of(request))
        self._relay.set()
        self._lanes.queued.set()
        return json_response(
            {"recipient_id": attempt.recipient_id, "attempt": attempt.attempt, "resolution": found.resolution}
        )

    async def _resolve(self, recipient_id: str, found: Resolution, user: User) -> Attempt:
        now, outbox = datetime.now(UTC), Outbox()
        async with acting_for(self._pool, user.account_id) as connection, connection.transaction():
            rows = await connection.fetch(q.lock_attempts, [recipient_id])
            unknown = [row["attempt"] for row in rows if row["state"] == State.UNKNOWN]
            if not unknown:
                raise Problem(409, "not_unresolved", "Its outcome is known, or it has not been sent.")
            proof = Proof(recipient_id, unknown[-1], found.as_outcome(), now, actor=user.user_id)
            attempts = await settle(connection, [proof], outbox)
            await connection.execute(
                q.insert_resolution, recipient_id, unknown[-1], found.resolution, found.reason, user.user_id, now
            )
            await outbox.write(connection)
        return attempts[proof.key]

    async def replies(
        self,
        request: Request,
        after: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
        limit: Limit = 100,
        verdict: Verdict | None = None,
    ) -> Any:
        """What people answered, the newest first; `after` is the `next` of the page before."""
        rows = await store_replies.page(self._pool, self._vault, user_of(request).account_id, after, limit, verdict)
        more = {"next": str(rows[-1]["seq"])} if len(rows) == limit else {}
        replies = [{name: value for name, value in row.items() if name != "seq"} for row in rows]
        return json_response({"replies": replies, **more})


async def depths(pool: Pool, lanes: Lanes) -> dict[str, Any]:
    """What waits, is on its way, or is unknown, over all accounts."""
    counts = dict(await pool.fetchrow(q.depths) or {})
    QUEUE.set(counts["queue"])
    UNKNOWN.set(counts["unknown"])
    return {**counts, **await figures(pool, lanes)}


def build(
    pool: Pool,
    vault: Vault,
    settings: Settings,
    probes: Health,
    inbox: Inbox,
    persons: Persons,
    relay: asyncio.Event,
    lanes: Lanes,
    revocations: Revocations,
) -> ASGIApp:
    """The service's HTTP side."""
    webhooks = Webhooks(inbox, settings)
    return webhooks.ahead_of(build_api(pool, vault, settings, probes, webhooks, persons, revocations, relay, lanes))


def build_api(
    pool: Pool,
    vault: Vault,
    settings: Settings,
    probes: Health,
    webhooks: Webhooks,
    persons: Persons,
    revocations: Revocations,
    relay: asyncio.Event,
    lanes: Lanes,
) -> FastAPI:
    """Every route, also those that are served ahead of it."""
    api = create_api("Handsent dispatcher", settings.token_key, probes.ready, probes.status, revocations=revocations)
    api.state.pool, api.state.vault = pool, vault
    api.include_router(webhooks.router())
    api.include_router(OptOuts(pool, vault, settings.person_id_secret, settings.default_region, relay).router())
    api.include_router(persons.router())
    api.include_router(Holds(pool, vault, relay, lanes).router())
    api.include_router(Operations(pool, vault, relay, lanes).router())
    api.include_router(Queue(pool, lanes).router())
    return api
