"""Holds over HTTP: whose messages wait for a human to read what they answered, and that human's decision."""

import asyncio
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request
from kernel.database import Pool
from kernel.tokens import Role
from kernel.vault import Vault
from kernel.web import Guarded, Problem, json_response, needs, user_of
from pydantic import BaseModel, Field

from dispatcher import api_answers as answers
from dispatcher import store_holds, store_rulings
from dispatcher.api_persons import OfPerson
from dispatcher.app_lanes import Lanes
from dispatcher.outcome import LONGEST_ID
from dispatcher.store_holds import Decision
from dispatcher.store_rulings import Ruling

MOST_LISTED = 500


class Asked(StrEnum):
    """What a manager decides: their messages go, or they get none."""

    RELEASE = "release"
    OPT_OUT = "opt_out"


DECISIONS = {Asked.RELEASE: Decision.RELEASED, Asked.OPT_OUT: Decision.OPTED_OUT}


class NewDecision(BaseModel):
    """`reply` is what was read (as in the list); if another has come since, nothing is decided."""

    decision: Asked
    reason: str = Field(min_length=1, max_length=1000, pattern=r"^[^\x00]*[^\s\x00][^\x00]*$")
    reply: str | None = Field(None, max_length=LONGEST_ID)


class Holds:
    """The holds of the caller's account."""

    def __init__(self, pool: Pool, vault: Vault, relay: asyncio.Event, lanes: Lanes) -> None:
        self._pool, self._vault, self._relay, self._lanes = pool, vault, relay, lanes

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/api/v1/holds", tags=["holds"])
        router.add_api_route("", self.page, methods=["GET"], route_class_override=Guarded,
                             openapi_extra=needs(Role.MANAGER, Role.AUDITOR),
                             response_model=answers.HoldPage)  # fmt: skip
        router.add_api_route("/{person_id}", self.decide, methods=["POST"], route_class_override=OfPerson,
                             openapi_extra=needs(Role.MANAGER), response_model=answers.Decided)  # fmt: skip
        return router

    async def page(
        self,
        request: Request,
        after: UUID | None = None,
        limit: Annotated[int, Query(ge=1, le=MOST_LISTED)] = 100,
    ) -> Any:
        """Who is held, and for which reply; `after` is the `next` of the page before."""
        account_id = user_of(request).account_id
        rows = await store_holds.page(self._pool, self._vault, account_id, str(after) if after else None, limit)
        more = {"next": rows[-1]["person_id"]} if len(rows) == limit else {}
        return json_response({"holds": rows, **more})

    async def decide(self, request: Request, person_id: UUID, asked: NewDecision) -> Any:
        """Ends a hold: `release` lets the person's messages go, `opt_out` opts them out. Recorded, with the reason."""
        user, person = user_of(request), str(person_id)
        reply = asked.reply or await store_holds.held_for(self._pool, user.account_id, person)
        if reply is None:
            raise _not_held()
        now, decision = datetime.now(UTC), DECISIONS[asked.decision]
        ruling = Ruling(user.account_id, person, reply, decision, asked.reason.strip(), user.user_id, now)
        if not await store_rulings.rule(self._pool, self._vault, ruling):
            raise Problem(409, "hold_changed", "This person has answered again, or somebody else has decided.")
        self._relay.set()
        self._lanes.queued.set()
        return json_response({"person_id": person, "reply": reply, "decision": decision})


def _not_held() -> Problem:
    return Problem(404, "not_found", "No messages to such a person of this account wait for a decision.")
