"""Receipts about messages that nobody here knew when they came: looked at again, until their message is known."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import asyncpg
import structlog
from kernel.database import Connection, Pool
from kernel.errors import retriable
from kernel.seal import Key as SealKey
from kernel.vault import Vault

from dispatcher import parking
from dispatcher.app_outcomes import Callback, Named, applied, known_ids, look_later
from dispatcher.parking import Candidate
from dispatcher.provider import UNADDRESSED
from dispatcher.provider_receipts import PARTIES, RECEIPTS
from dispatcher.store import of_providers, q
from dispatcher.store_attempts import Key, tells_opt_out
from dispatcher.store_callbacks import SERVICE_SUBJECT, open_form, service_key
from schemas.identity import person_id

log = structlog.get_logger()

LOOK_S = 1.0
AT_ONCE = 200


class _OptsOut(Exception):
    """A receipt tells that somebody opted out at the carrier."""


class Parked:
    """Bounded: each look takes few, and what stays nobody's is looked at ever more rarely, for three days."""

    def __init__(self, pool: Pool, vault: Vault, secret: str, region: str, relay: asyncio.Event) -> None:
        self._pool, self._vault, self._secret, self._region, self._relay = pool, vault, secret, region, relay

    async def look(self) -> None:
        """Every second, for ever."""
        while True:
            try:
                while await self.replay(datetime.now(UTC)):
                    await asyncio.sleep(0)
            except Exception as error:
                if not retriable(error):
                    raise
                log.warning("parked_retried", error=repr(error))
            await asyncio.sleep(LOOK_S)

    async def replay(self, now: datetime) -> bool:
        """Those whose time has come, in one transaction; True when more may be due."""
        try:
            return await self._replay(now, q.lock_for_callbacks)
        except _OptsOut:
            return await self._replay(now, q.lock_for_opt_outs)

    async def _replay(self, now: datetime, lock: str) -> bool:
        """Raises _OptsOut when an opt-out is among them, which needs the lock alone, before any row."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.fetch(lock)
            rows = await connection.fetch(of_providers.parked_callbacks, now, AT_ONCE)
            if not rows:
                return False
            key = (await service_key(self._vault))[SERVICE_SUBJECT]
            callbacks = [_parked(row, key) for row in rows]
            if lock == q.lock_for_callbacks and any(c.receipt and tells_opt_out(c.receipt) for c in callbacks):
                raise _OptsOut
            ids = await known_ids(connection, callbacks)
            ids |= await self._adopted(connection, [c for c in callbacks if c.named not in ids])
            fates = await applied(connection, callbacks, ids)
            await connection.execute(
                of_providers.parked_again,
                [row["seq"] for row in rows],
                [fate for fate, _ in fates],
                [look_later(c, fate, now) for c, (fate, _) in zip(callbacks, fates, strict=True)],
                [key and key[0] for _, key in fates],
                [key and key[1] for _, key in fates],
            )
        self._relay.set()
        return len(rows) == AT_ONCE

    async def _adopted(self, connection: Connection, callbacks: Sequence[Callback]) -> dict[Named, Key]:
        """The attempts that can be meant by those that name none: looked for among the person's, who is named."""
        found: dict[Named, Key] = {}
        for callback in callbacks:
            if callback.key is None and callback.receipt is not None:
                candidates = await self._candidates(connection, callback)
                guess = callback.provider in UNADDRESSED
                key = parking.adopt(callback.carrier_message_id, callback.received_at, candidates, guess=guess)
                found |= {callback.named: key} if key else {}
        return found

    async def _candidates(self, connection: Connection, callback: Callback) -> list[Candidate]:
        number, sender = PARTIES[callback.provider](callback.form, self._region)
        owners = await connection.fetch(q.owners_of_senders, [sender])
        if not owners:
            return []
        person = person_id(self._secret, owners[0]["account_id"], number)
        rows = await connection.fetch(of_providers.candidates, person, sender, callback.provider)
        return [Candidate((row[0], row[1]), *list(row)[2:]) for row in rows]


def _parked(row: asyncpg.Record, key: SealKey) -> Callback:
    form = (open_form(key, row["form"]) or "").encode()
    about = (row["recipient_id"], row["attempt"]) if row["recipient_id"] is not None else None
    read = RECEIPTS[row["provider"]](form) if form else None
    return Callback(row["received_at"], row["provider"], row["carrier_message_id"] or "", about, form, read)
