"""Persons over HTTP: what is held of one, and their erasure."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import structlog
from fastapi import APIRouter, Request
from kernel.database import Pool
from kernel.errors import retriable
from kernel.tokens import Role
from kernel.vault import Vault
from kernel.web import Guarded, Problem, is_uuid, json_response, needs, require_role, user_of
from pydantic import BaseModel, Field

from dispatcher import api_answers as answers
from dispatcher import store_persons
from dispatcher.store_persons import Erasure

log = structlog.get_logger()

FINISH_EVERY_S = 30.0


class Reason(BaseModel):
    """Why a person is erased: their wish, as a rule."""

    reason: str = Field(min_length=1, max_length=1000, pattern=r"^[^\x00]*[^\s\x00][^\x00]*$")


class OfPerson(Guarded):
    """A route about a person: 401, then 404 for who is not the account's, then the role, then the body."""

    async def before_role(self, request: Request) -> None:
        state, person_id = request.app.state, request.path_params["person_id"].lower()
        if is_uuid(person_id) and await store_persons.knows(
            state.pool, state.vault, user_of(request).account_id, person_id
        ):
            return
        raise _no_person()


class Persons:
    """The persons of the caller's account."""

    def __init__(self, pool: Pool, vault: Vault, relay: asyncio.Event) -> None:
        self._pool, self._vault, self._relay = pool, vault, relay

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/api/v1/persons", route_class=OfPerson, tags=["persons"])
        allowed = needs(Role.MANAGER)
        router.add_api_route("/{person_id}", self.person, methods=["GET"], openapi_extra=allowed,
                             response_model=answers.Held)  # fmt: skip
        router.add_api_route("/{person_id}/erasure", self.erase, methods=["POST"], route_class_override=Guarded,
                             openapi_extra=needs(Role.MANAGER, late=True),
                             response_model=answers.Erased)  # fmt: skip
        return router

    async def person(self, request: Request, person_id: UUID) -> Any:
        """Everything held here of a person: messages with their attempts, opt-out, replies, raw callbacks, erasures."""
        account_id = user_of(request).account_id
        return json_response(await store_persons.held(self._pool, self._vault, account_id, str(person_id)))

    async def erase(self, request: Request, person_id: UUID, why: Reason) -> Any:
        """Erases a person: nothing more is sent to them, and their key is destroyed. Their opt-out stays in force.

        `finished` is false when the key could not be destroyed yet: it is tried again until it is.
        """
        user = user_of(request)
        if not await store_persons.knows(self._pool, self._vault, user.account_id, str(person_id)):
            raise _no_person()
        require_role(request)
        erasure = Erasure(user.account_id, str(person_id), why.reason, user.user_id, datetime.now(UTC))
        if not await store_persons.erase(self._pool, self._vault, erasure):
            raise _no_person()
        self._relay.set()
        await self.finish()
        erasures = await store_persons.erasures_of(self._pool, user.account_id, str(person_id))
        return json_response(
            {"person_id": str(person_id), **erasures[-1], "finished": bool(erasures[-1]["finished_at"])}
        )

    async def finish(self) -> None:
        """Destroys what is left of persons that were erased."""
        try:
            await store_persons.finish(self._pool, self._vault, datetime.now(UTC))
        except Exception as error:
            if not retriable(error):
                raise
            log.warning("erasure_not_finished", error=repr(error))

    async def keep_finishing(self) -> None:
        """Until cancelled: a process may have died between an erasure and its end."""
        while True:
            await self.finish()
            await asyncio.sleep(FINISH_EVERY_S)


def _no_person() -> Problem:
    return Problem(404, "not_found", "This account has no such person.")
