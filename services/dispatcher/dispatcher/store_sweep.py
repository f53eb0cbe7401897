"""Postgres: attempts that were accepted long ago and have no receipt are given up."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import asyncpg
from kernel.database import Connection, Pool
from kernel.outbox import Outbox

from dispatcher.attempt import NoReceipt, State
from dispatcher.store import LAST_ID, q
from dispatcher.store_attempts import Proof, settle

SWEEP_ATTEMPTS = 1000
MICROSECOND = timedelta(microseconds=1)


class _Place(NamedTuple):
    """The last attempt that a search has read, and whether one was among the read that must be read again."""

    attempted_at: datetime
    recipient_id: str
    unripe: bool


async def sweep(pool: Pool, now: datetime, patience: timedelta) -> None:
    """Gives up attempts that were accepted longer ago than `patience` and have no receipt, a page a transaction.

    Reads attempts in the order of their time. One that is not ripe yet, for it was accepted much later than attempted,
    holds up none behind it: the search goes on, and only the next one begins there again.
    """
    place: _Place | None = None
    while (place := await _sweep_page(pool, now - patience, patience, place)) is not None:
        pass
    while await _sweep_late(pool, now - patience, patience):
        pass


async def _sweep_page(pool: Pool, until: datetime, patience: timedelta, after: _Place | None) -> _Place | None:
    """The page after this place, or after where the last search has come; None when there is no other."""
    async with pool.acquire() as connection, connection.transaction():
        swept = await connection.fetchval(q.lock_sweep)
        if swept is None:
            return None
        after = after or _Place(swept, LAST_ID, unripe=False)
        rows = await connection.fetch(q.sweep_step, after.attempted_at, after.recipient_id, until, SWEEP_ATTEMPTS)
        await _give_up(connection, (row for row in rows if _ripe(row, until)), patience)
        ends = _ends(rows, until)
        if not after.unripe and min(ends) > swept:
            await connection.execute(q.swept, min(ends))
    if len(rows) < SWEEP_ATTEMPTS:
        return None
    return _Place(rows[-1]["attempted_at"], rows[-1]["recipient_id"], after.unripe or bool(_unripe(rows, until)))


async def _sweep_late(pool: Pool, until: datetime, patience: timedelta) -> bool:
    """Those that were unknown when their time was searched; True when there may be more."""
    async with pool.acquire() as connection, connection.transaction():
        if await connection.fetchval(q.lock_sweep) is None:
            return False
        rows = await connection.fetch(q.sweep_late, until, SWEEP_ATTEMPTS)
        await _give_up(connection, rows, patience)
    return len(rows) == SWEEP_ATTEMPTS


async def _give_up(connection: Connection, rows: Iterable[asyncpg.Record], patience: timedelta) -> None:
    outbox = Outbox()
    proofs = [Proof(row["recipient_id"], row["attempt"], NoReceipt(), row["accepted_at"] + patience) for row in rows]
    await settle(connection, proofs, outbox)
    await outbox.write(connection)


def _ends(rows: Sequence[asyncpg.Record], until: datetime) -> list[datetime]:
    """What the stored time must not pass: the first that is not ripe, and of a full page the instant of its last."""
    full = rows[-1:] if len(rows) == SWEEP_ATTEMPTS else []
    return [until, *(row["attempted_at"] - MICROSECOND for row in (*_unripe(rows, until), *full))]


def _ripe(row: asyncpg.Record, until: datetime) -> bool:
    return bool(row["state"] == State.ACCEPTED and row["accepted_at"] <= until)


def _unripe(rows: Sequence[asyncpg.Record], until: datetime) -> list[asyncpg.Record]:
    """Not those that were unknown first: `sweep_late` finds them."""
    return [
        row
        for row in rows
        if row["state"] == State.OPEN
        or (row["state"] == State.ACCEPTED and row["accepted_at"] > until and row["unresolved_at"] is None)
    ]
