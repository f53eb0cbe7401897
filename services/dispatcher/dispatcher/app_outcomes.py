"""Evidence on its way to Postgres: what became of our POSTs, and receipts with their raw callbacks."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import structlog
from kernel.database import Connection, Pool
from kernel.errors import retriable
from kernel.outbox import Outbox
from kernel.steps import reached
from kernel.vault import Vault

from dispatcher import parking
from dispatcher.app_batcher import Batcher
from dispatcher.receipt import Receipt
from dispatcher.store import of_providers, q
from dispatcher.store_attempts import Key, Proof, settle, tells_opt_out
from dispatcher.store_callbacks import Fate, seal_forms
from dispatcher.store_repeats import PutBack, put_back

log = structlog.get_logger()

OUTCOME_LINGER_S = 0.015
CALLBACK_LINGER_S = 0.03
FOR_EVER_S = float("inf")
CALLBACK_PATIENCE_S = 5.0

Named = tuple[str, str]  # provider, carrier_message_id
Became = tuple[Fate, Key | None]


@dataclass(frozen=True, slots=True)
class Callback:
    """A status callback as it came; `key` is the attempt it names, `receipt` what it says, if it does."""

    received_at: datetime
    provider: str
    carrier_message_id: str
    key: Key | None
    form: bytes
    receipt: Receipt | None

    @property
    def named(self) -> Named:
        """The carrier's name for the message."""
        return self.provider, self.carrier_message_id

    def about(self, ids: Mapping[Named, Key]) -> Key | None:
        """The attempt it names under our signature, or else the one that its id is of."""
        return self.key or ids.get(self.named)

    def proof(self, ids: Mapping[Named, Key]) -> Proof | None:
        """What it proves, of the attempt it is about."""
        key = self.about(ids)
        return Proof(*key, self.receipt, self.received_at) if key is not None and self.receipt is not None else None


class Outcomes:
    """Settles evidence in micro-batches, one transaction each."""

    def __init__(self, pool: Pool, vault: Vault, relay: asyncio.Event) -> None:
        self._pool, self._vault, self._relay = pool, vault, relay
        self._proofs = Batcher[Proof]("outcomes", self.settle, OUTCOME_LINGER_S, FOR_EVER_S)
        self._repeats = Batcher[PutBack]("repeats", partial(put_back, pool), OUTCOME_LINGER_S, FOR_EVER_S)
        self._callbacks = Batcher[Callback]("callbacks", self._store, CALLBACK_LINGER_S, CALLBACK_PATIENCE_S)

    async def record(self, proof: Proof) -> None:
        """Returns once the evidence is committed."""
        await self._proofs.put(proof)

    async def receive(self, callback: Callback) -> None:
        """Returns once the callback is stored, and interpreted if that is possible, in one commit."""
        await self._callbacks.put(callback)

    async def put_back(self, item: PutBack) -> None:
        """Returns once it is committed that the attempt is to be POSTed again."""
        await self._repeats.put(item)

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
            # An opt-out among them needs the lock alone; who shares it already would wait for whoever does the same.
            opts_out = any(callback.receipt and tells_opt_out(callback.receipt) for callback in callbacks)
            await connection.fetch(q.lock_for_opt_outs if opts_out else q.lock_for_callbacks)
            fates = await applied(connection, callbacks, await known_ids(connection, callbacks))
            await connection.execute(
                q.insert_callbacks,
                [callback.received_at for callback in callbacks],
                [key and key[0] for _, key in fates],
                [key and key[1] for _, key in fates],
                forms,
                [fate for fate, _ in fates],
                [callback.provider for callback in callbacks],
                [callback.carrier_message_id for callback in callbacks],
                [look_later(c, fate, c.received_at) for c, (fate, _) in zip(callbacks, fates, strict=True)],
            )
            reached("receipt.written")
        reached("receipt.committed")
        self._relay.set()


def look_later(callback: Callback, fate: Fate, now: datetime) -> datetime | None:
    """When a receipt about nobody we know is looked at again; never, if nothing can be made of it."""
    looks = fate == Fate.PARKED and callback.receipt is not None
    return parking.next_look(callback.received_at, now) if looks else None


async def known_ids(connection: Connection, callbacks: Sequence[Callback]) -> dict[Named, Key]:
    """The attempts that are meant by the ids of those that name none, as far as they are known."""
    named = [callback.named for callback in callbacks if callback.key is None]
    if not named:
        return {}
    rows = await connection.fetch(of_providers.find_carrier_ids, [n[0] for n in named], [n[1] for n in named])
    return {(row[0], row[1]): (row[2], row[3]) for row in rows}


async def applied(connection: Connection, callbacks: Sequence[Callback], ids: Mapping[Named, Key]) -> list[Became]:
    """What becomes of each, and the attempt it is about. One that says nothing of an attempt of ours has been applied.

    Evidence that cannot be applied must not take the others, or the raw callbacks, with it: it fails alone.
    """
    abouts, proofs = [c.about(ids) for c in callbacks], [c.proof(ids) for c in callbacks]
    try:
        outbox = Outbox()
        async with connection.transaction():
            attempts = await settle(connection, [proof for proof in proofs if proof], outbox)
            silent = {key for key, proof in zip(abouts, proofs, strict=True) if key is not None and proof is None}
            known = attempts.keys() | (await _known(connection, silent) if silent else set())
            await outbox.write(connection)
        return [
            (Fate.APPLIED, key) if key in known else (Fate.PARKED, callback.key)
            for callback, key in zip(callbacks, abouts, strict=True)
        ]
    except Exception as error:
        if retriable(error):
            raise
        if len(callbacks) == 1:
            log.error("callback_failed", exc_info=error)
            return [(Fate.FAILED, callbacks[0].key)]
    return [fate for callback in callbacks for fate in await applied(connection, [callback], ids)]


async def _known(connection: Connection, keys: Collection[Key]) -> set[Key]:
    rows = await connection.fetch(q.known_attempts, [key[0] for key in keys], [key[1] for key in keys])
    return {(row[0], row[1]) for row in rows}
