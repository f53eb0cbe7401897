"""Postgres: messages on their way in, and intents on their way out."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg
from kernel import database
from kernel.database import Connection, Pool, load_queries
from kernel.outbox import Outbox

from dispatcher import clearance, turns
from dispatcher.attempt import PROVIDER, SERVICE
from schemas import events as e
from schemas.identity import event_id
from schemas.reasons import OptOutSource

SCHEMA = "dispatcher"
# Every hot statement is a handful of index look-ups. A planner that meets our tables while they are small would rather
# read them whole, and keep that plan while they grow: 7 µs an intent become seconds.
INDEXES_ONLY = {f"enable_{way}": "off" for way in ("seqscan", "bitmapscan", "hashjoin", "mergejoin")}

q = load_queries("dispatcher")


async def open_pool(url: str, max_size: int = 8) -> Pool:
    """The service's pool; its sessions never read a table whole."""
    return await database.open_pool(url, SCHEMA, min_size=1, max_size=max_size, **INDEXES_ONLY)


async def enqueue(connection: Connection, released: Sequence[e.MessageReleased]) -> None:
    """Gives each new message its permanent row and a place in the queue; a repeated one changes nothing."""
    unique = {message.recipient_id: message for message in released}
    messages = [unique[recipient_id] for recipient_id in sorted(unique)]
    rows = await connection.fetch(
        q.insert_messages,
        [m.recipient_id for m in messages],
        [m.account_id for m in messages],
        [m.campaign_id for m in messages],
        [m.person_id for m in messages],
        [m.event_id for m in messages],
        [m.due_at for m in messages],
        [m.number for m in messages],
        [m.text for m in messages],
        [m.sender for m in messages],
    )
    if rows:
        await _deal(connection, rows)


async def _deal(connection: Connection, rows: Sequence[asyncpg.Record]) -> None:
    campaigns = [row["campaign_id"] for row in rows]
    accounts = {row["campaign_id"]: row["account_id"] for row in rows}
    shares = turns.counted(campaigns)
    dealt = await connection.fetch(
        q.deal_turns,
        [campaign_id for campaign_id, _ in shares],
        [accounts[campaign_id] for campaign_id, _ in shares],
        [count for _, count in shares],
    )
    first = {row["campaign_id"]: row["first"] for row in dealt}
    await connection.execute(q.enqueue, [row["recipient_id"] for row in rows], turns.dealt(campaigns, first))


@dataclass(frozen=True, slots=True)
class Intent:
    """Licence for one POST, by the process that took it."""

    recipient_id: str
    attempt: int
    number: str
    text: str
    sender: str

    @property
    def key(self) -> tuple[str, int]:
        return self.recipient_id, self.attempt


async def take_intents(
    connection: Connection, limit: int, owner: int, at: datetime, outbox: Outbox
) -> tuple[int, list[Intent]]:
    """Takes up to `limit` messages off the queue: (how many, the intents); the others were suppressed.

    Runs in the caller's transaction, which must commit before the first byte leaves.
    """
    await connection.fetch(q.lock_for_intents)
    rows = await connection.fetch(q.take_intents, limit, at, owner)
    intents = []
    for row in rows:
        match clearance.decide(_opt_out(row)):
            case clearance.Suppress() as suppress:
                outbox.add(_suppressed(row, suppress, at))
            case clearance.Clear() if row["attempted"]:
                outbox.add(_attempted(row, at))
                intents.append(Intent(row["recipient_id"], row["attempt"], row["number"], row["text"], row["sender"]))
    return len(rows), intents


def _opt_out(row: asyncpg.Record) -> clearance.OptOut | None:
    if row["source"] is None:
        return None
    return clearance.OptOut(OptOutSource(row["source"]), row["opted_out_at"], row["opt_out_event_id"])


def _suppressed(row: asyncpg.Record, suppress: clearance.Suppress, at: datetime) -> e.MessageSuppressed:
    return e.MessageSuppressed(
        event_id=event_id(row["recipient_id"], "MessageSuppressed"),
        account_id=row["account_id"],
        campaign_id=row["campaign_id"],
        recipient_id=row["recipient_id"],
        person_id=row["person_id"],
        occurred_at=at,
        actor=SERVICE,
        caused_by=row["released_by"],
        reason=suppress.reason,
        opted_out_at=suppress.opt_out.opted_out_at,
        opt_out_event_id=suppress.opt_out.event_id,
    )


def _attempted(row: asyncpg.Record, at: datetime) -> e.SendAttempted:
    return e.SendAttempted(
        event_id=event_id(row["recipient_id"], "SendAttempted", row["attempt"]),
        account_id=row["account_id"],
        campaign_id=row["campaign_id"],
        recipient_id=row["recipient_id"],
        person_id=row["person_id"],
        occurred_at=at,
        actor=SERVICE,
        caused_by=row["released_by"],
        attempt=row["attempt"],
        provider=PROVIDER,
    )
