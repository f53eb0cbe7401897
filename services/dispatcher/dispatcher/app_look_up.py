"""Slowly and a few at a time, unknown outcomes are looked up in the carrier's list, where it can prove them."""

import asyncio
from datetime import UTC, datetime
from uuid import UUID

import asyncpg
import structlog
from kernel.database import Pool
from kernel.errors import retriable
from kernel.seal import NUMBER, Key, Tampered, text_of, unseal
from kernel.vault import Vault

from dispatcher import look_up
from dispatcher import provider_twilio as twilio
from dispatcher.app_outcomes import Outcomes
from dispatcher.gateway import Gateways
from dispatcher.gateway_twilio import TwilioGateway
from dispatcher.look_up import Asked, Listed
from dispatcher.outcome import Accepted
from dispatcher.provider import TWILIO
from dispatcher.store import of_providers
from dispatcher.store_attempts import Proof

log = structlog.get_logger()

AT_ONCE = 20
BEGINNING = (datetime(1970, 1, 1, tzinfo=UTC), str(UUID(int=0)))


class LookUps:
    """Goes through the unknowns from the oldest to the newest and begins again: a list that lags may have caught up."""

    def __init__(self, pool: Pool, vault: Vault, gateways: Gateways, outcomes: Outcomes, every_s: float) -> None:
        self._pool, self._vault, self._outcomes = pool, vault, outcomes
        gateway = gateways.named(TWILIO)  # the one provider whose list can be asked for a number
        self._gateway = gateway if isinstance(gateway, TwilioGateway) else None
        self._every_s, self._after = every_s, BEGINNING

    async def run(self) -> None:
        """Every `every_s` seconds, for ever; never if that is 0, or nobody can be asked."""
        while self._every_s and self._gateway is not None:
            await asyncio.sleep(self._every_s)
            try:
                await self.look()
            except Exception as error:
                if not retriable(error):
                    raise
                log.warning("look_up_retried", error=repr(error))
        await asyncio.Event().wait()

    async def look(self) -> None:
        """The next few."""
        rows = await self._pool.fetch(of_providers.unknown_to_look_up, TWILIO, *self._after, AT_ONCE)
        last = rows[-1] if len(rows) == AT_ONCE else None
        self._after = (last["unresolved_at"], last["recipient_id"]) if last else BEGINNING
        keys = await self._vault.keys(row["person_id"] for row in rows)
        for row in rows:
            asked = _asked(row, keys.get(row["person_id"]))
            # Itself alone: with another of the same person's whose id is not known, the list's may be either's.
            if asked is not None and row["nameless"] == 1:
                await self._look_for(row, asked)

    async def _look_for(self, row: asyncpg.Record, asked: Asked) -> None:
        assert self._gateway is not None
        body = await self._gateway.listed(twilio.list_query(asked))
        listed = twilio.listed(body) if body is not None else None
        message = look_up.found(asked, listed or [], row["ids"])
        if message is not None:
            log.info("looked_up", recipient_id=row["recipient_id"], attempt=row["attempt"], status=message.status)
            await self._outcomes.settle([_proof(row["recipient_id"], row["attempt"], message)])


def _proof(recipient_id: str, attempt: int, message: Listed) -> Proof:
    """That it is listed proves that it was taken, whatever its status; a final one says more."""
    proven = twilio.proven(message.carrier_message_id, message.status, message.code)
    return Proof(recipient_id, attempt, proven or Accepted(message.carrier_message_id), datetime.now(UTC))


def _asked(row: asyncpg.Record, key: Key | None) -> Asked | None:
    try:
        to = unseal(key, NUMBER, row["number"])
        body = unseal(key, text_of(row["recipient_id"]), row["text"])
    except Tampered:
        return None
    return None if to is None or body is None else Asked(to, row["sender"], body, row["attempted_at"])
