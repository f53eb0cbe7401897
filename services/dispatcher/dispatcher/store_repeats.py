"""Postgres: open attempts with an idempotency key that are POSTed again, or given up.

An attempt with a key stays open, and is nobody's, between two POSTs. Whoever takes it may POST the same bytes under the
same key, whatever became of the process that did so before: the carrier takes it once. What it may not do is conclude
from its own POST that the carrier has not taken an earlier one; `store_attempts` sees to that.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg
import structlog
from kernel.database import Connection, Pool
from kernel.outbox import Outbox
from kernel.seal import Key, Tampered
from kernel.vault import Vault

from dispatcher import retry, usefulness
from dispatcher.outcome import Unknown
from dispatcher.store import of_providers, q
from dispatcher.store_attempts import Proof, settle
from dispatcher.store_intents import Intent, open_request
from dispatcher.turns import Lane
from schemas.reasons import UnresolvedReason

log = structlog.get_logger()

NOBODY_HERE = timedelta(seconds=60)
CARRIER_RESTS = timedelta(seconds=1)


class Room:
    """Asks for each repeat whether its carrier bears one more, and keeps for which it said yes."""

    def __init__(self, admits: Callable[[Lane], bool]) -> None:
        self._admits = admits
        self.admitted: list[Lane] = []

    def admits(self, lane: Lane) -> bool:
        if not self._admits(lane):
            return False
        self.admitted.append(lane)
        return True


@dataclass(frozen=True, slots=True)
class PutBack:
    """An open attempt to be POSTed again at `at`, unless it is no longer with one of `owners`.

    `doubt` is what its POST leaves open; None when it is known that not a byte of it left.
    """

    recipient_id: str
    attempt: int
    owners: Sequence[int]
    at: datetime
    doubt: Unknown | None


async def put_back(pool: Pool, items: Sequence[PutBack]) -> None:
    """Each by itself, so that nobody waits for a row while holding another. A repeat changes nothing."""
    for item in items:
        await pool.execute(
            of_providers.put_back,
            item.recipient_id, item.attempt, item.owners, item.at,
            item.doubt and item.doubt.reason, item.doubt and item.doubt.carrier_code,
        )  # fmt: skip


async def take_repeats(
    connection: Connection, vault: Vault, limit: int, owner: int, at: datetime, outbox: Outbox, key_life_s: int,
    providers: Collection[str], room: Room, useful_for: timedelta | None = None, *, doubtful: bool = True,
) -> list[Intent]:  # fmt: skip
    """Takes up to `limit` attempts whose time to be POSTed again has come; those that must not be become unknown.
    Those that the carrier may have stay where they are unless `doubtful`: their receipts may still be on the way.

    Runs in the caller's transaction, which must commit before the first byte leaves.
    """
    await connection.fetch(q.lock_for_intents)
    locked = await connection.fetch(of_providers.lock_repeats, at, limit, doubtful)
    if not locked:
        return []
    rows = await connection.fetch(
        of_providers.take_repeats,
        [row["recipient_id"] for row in locked], [row["attempt"] for row in locked], owner, at,
    )  # fmt: skip
    since = {(row["recipient_id"], row["attempt"]): row["attempted_at"] for row in locked}
    keys = await vault.keys(row["person_id"] for row in rows)
    intents, given_up, elsewhere, resting = [], [], [], []
    for row in rows:
        intent = _opened(row, keys)
        attempted_at = since[row["recipient_id"], row["attempt"]]
        if intent is None or not _may(row, at, useful_for) or not retry.may_repeat(attempted_at, at, key_life_s):
            given_up.append(Proof(row["recipient_id"], row["attempt"], _doubt(row), at))
        elif intent.provider not in providers:
            elsewhere.append(intent)
        elif not room.admits(intent.lane):
            resting.append(intent)
        else:
            intents.append(intent)
    if given_up:
        await settle(connection, given_up, outbox)
    if elsewhere:
        log.warning("provider_not_in_use", attempts=len(elsewhere), provider=elsewhere[0].provider)
        await _leave(connection, elsewhere, at + NOBODY_HERE)
    if resting:
        await _leave(connection, resting, at + CARRIER_RESTS)
    return intents


def _may(row: asyncpg.Record, at: datetime, useful_for: timedelta | None) -> bool:
    """Whether the person may still be asked for. The repeat may well be the first that reaches the carrier: to POST it
    after a STOP, an erasure or the message's latest useful time would be to text them after it. So nobody knows, and
    nobody asks."""
    until = usefulness.useful_until(row["useful_until"], row["due_at"], useful_for)
    return not row["opted_out"] and not row["erased"] and not usefulness.is_over(until, at)


async def _leave(connection: Connection, intents: Sequence[Intent], until: datetime) -> None:
    await connection.execute(
        of_providers.put_back_later, [i.recipient_id for i in intents], [i.attempt for i in intents], until
    )


def _opened(row: asyncpg.Record, keys: Mapping[str, Key]) -> Intent | None:
    try:
        request = open_request(keys.get(row["person_id"]), row["recipient_id"], row["request"] or "")
    except Tampered as error:
        log.error("request_tampered", recipient_id=row["recipient_id"], error=str(error))
        return None
    if not request:
        return None
    lane = Lane(row["account_id"], row["campaign_id"], row["sender"])
    return Intent(row["recipient_id"], row["attempt"], lane, row["provider"], request, repeats=row["repeats"])


def _doubt(row: asyncpg.Record) -> Unknown:
    return Unknown(UnresolvedReason(row["doubt"] or UnresolvedReason.PROCESS_KILLED), row["doubt_code"])
