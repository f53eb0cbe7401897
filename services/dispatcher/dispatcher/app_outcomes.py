"""Evidence on its way to Postgres: what became of our POSTs, and receipts with their raw callbacks."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog
from kernel.database import Connection, Pool
from kernel.errors import retriable
from kernel.outbox import Outbox
from kernel.steps import reached
from kernel.vault import Vault

from dispatcher.app_batcher import Batcher
from dispatcher.store import q
from dispatcher.store_attempts import Key, Proof, settle
from dispatcher.store_callbacks import seal_forms

log = structlog.get_logger()

OUTCOME_LINGER_S = 0.015
CALLBACK_LINGER_S = 0.03
FOR_EVER_S = float("inf")
CALLBACK_PATIENCE_S = 5.0


@dataclass(frozen=True, slots=True)
class Callback:
    """A status callback as it came; `proof` is what it says about an attempt of ours, if it does."""

    received_at: datetime
    key: Key | None
    form: bytes
    proof: Proof | None


class Outcomes:
    """Settles evidence in micro-batches, one transaction each."""

    def __init__(self, pool: Pool, vault: Vault, relay: asyncio.Event) -> None:
        self._pool, self._vault, self._relay = pool, vault, relay
        self._proofs = Batcher[Proof]("outcomes", self.settle, OUTCOME_LINGER_S, FOR_EVER_S)
        self._callbacks = Batcher[Callback]("callbacks", self._store, CALLBACK_LINGER_S, CALLBACK_PATIENCE_S)

    async def record(self, proof: Proof) -> None:
        """Returns once the evidence is committed."""
        await self._proofs.put(proof)

    async def receive(self, callback: Callback) -> None:
        """Returns once the callback is stored, and interpreted if that is possible, in one commit."""
        await self._callbacks.put(callback)

    async def settle(self, proofs: Sequence[Proof]) -> None:
        """All of it in one transaction, now."""
        outbox = Outbox()
        async with self._pool.acquire() as connection, connection.transaction():
            await settle(connection, proofs, outbox)
            wrote = bool(outbox)
            await outbox.write(connection)
            reached("outcome.written")
        reached("outcome.committed")
        if wrote:
            self._relay.set()

    async def _store(self, callbacks: Sequence[Callback]) -> None:
        forms = await seal_forms(self._vault, [callback.form for callback in callbacks])
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.fetch(q.lock_for_callbacks)
            fates = await _interpreted(connection, callbacks)
            await connection.execute(
                q.insert_callbacks,
                [callback.received_at for callback in callbacks],
                [callback.key and callback.key[0] for callback in callbacks],
                [callback.key and callback.key[1] for callback in callbacks],
                forms,
                fates,
            )
            reached("receipt.written")
        reached("receipt.committed")
        self._relay.set()


async def _interpreted(connection: Connection, callbacks: Sequence[Callback]) -> list[str]:
    """Applies what the callbacks prove; the fate of each. What breaks is undone and said, and its raw form is kept."""
    proofs = [callback.proof for callback in callbacks if callback.proof]
    if not proofs:
        return ["parked"] * len(callbacks)
    try:
        async with connection.transaction():
            outbox = Outbox()
            attempts = await settle(connection, proofs, outbox)
            await outbox.write(connection)
        return ["applied" if c.proof and c.proof.key in attempts else "parked" for c in callbacks]
    except Exception as error:
        if retriable(error):
            raise
        if len(callbacks) == 1:
            log.error("callback_failed", exc_info=error)
            return ["failed"]
    return [fate for callback in callbacks for fate in await _interpreted(connection, [callback])]
