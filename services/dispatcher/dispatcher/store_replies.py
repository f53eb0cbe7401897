"""Postgres: what people answer, and what follows from it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kernel.database import Connection, Pool, acting_for
from kernel.outbox import Outbox

from dispatcher.attempt import PROVIDER
from dispatcher.keywords import Verdict
from dispatcher.store import q
from dispatcher.store_opt_outs import Word, change_opt_outs
from schemas import events as e
from schemas.identity import person_id
from schemas.reasons import OptOutSource

LAST_SEQ = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Reply:
    """One inbound message: `number` wrote it, to our `sender`."""

    carrier_message_id: str
    number: str
    sender: str
    body: str
    verdict: Verdict
    received_at: datetime


async def owner_of(pool: Pool, sender: str) -> str | None:
    """The account a sender number belongs to; None while its campaign has not been read."""
    rows = await pool.fetch(q.owners_of_senders, [sender])
    return rows[0]["account_id"] if rows else None


async def _owners(connection: Connection, senders: Iterable[str]) -> dict[str, str]:
    return {row[0]: row[1] for row in await connection.fetch(q.owners_of_senders, list(senders))}


async def receive(pool: Pool, replies: Sequence[Reply], secret: str) -> bool:
    """Stores the replies and puts in force what they ask for, committed on return; each carrier id counts once.

    A reply to a number that nobody owns yet is parked, and counts when the number's campaign is read.
    Answers whether events were written.
    """
    outbox = Outbox()
    async with pool.acquire() as connection, connection.transaction():
        await connection.fetch(q.lock_for_opt_outs)
        owners = await _owners(connection, {reply.sender for reply in replies})
        new = await _insert(connection, replies, owners, secret)
        await _obey(connection, [reply for reply in new if reply.sender in owners], owners, secret, outbox)
        wrote = bool(outbox)
        await outbox.write(connection)
    return wrote


async def _insert(connection: Connection, replies: Sequence[Reply], owners: dict[str, str], secret: str) -> list[Reply]:
    unique = {reply.carrier_message_id: reply for reply in reversed(replies)}
    ordered = [unique[key] for key in sorted(unique)]
    rows = await connection.fetch(
        q.insert_replies,
        [r.carrier_message_id for r in ordered],
        [owners.get(r.sender) for r in ordered],
        [person_id(secret, owners[r.sender], r.number) if r.sender in owners else None for r in ordered],
        [r.number for r in ordered],
        [r.sender for r in ordered],
        [r.body for r in ordered],
        [r.verdict for r in ordered],
        [r.received_at for r in ordered],
    )
    inserted = {row[0] for row in rows}
    new = [reply for reply in unique.values() if reply.carrier_message_id in inserted]
    return sorted(new, key=lambda reply: reply.received_at)


async def _obey(
    connection: Connection, replies: Sequence[Reply], owners: dict[str, str], secret: str, outbox: Outbox
) -> None:
    words = [
        _word(reply, owners[reply.sender], secret)
        for reply in replies
        if reply.verdict in (Verdict.STOP, Verdict.START)
    ]
    if words:
        await change_opt_outs(connection, words, outbox)


def _word(reply: Reply, account_id: str, secret: str) -> Word:
    return Word(
        opted_out=reply.verdict == Verdict.STOP,
        account_id=account_id,
        person_id=person_id(secret, account_id, reply.number),
        number=reply.number,
        source=OptOutSource.REPLY,
        evidence=reply.body,
        actor=PROVIDER,
        caused_by=None,
        at=reply.received_at,
    )


async def learn_senders(
    connection: Connection, created: Sequence[e.CampaignCreated], secret: str, outbox: Outbox
) -> None:
    """Whose the campaigns' numbers are; replies that were parked for them count now, in the order they came."""
    owners = {event.sender: event.account_id for event in reversed(created)}
    numbers = sorted(owners)
    await connection.fetch(q.lock_for_opt_outs)
    await connection.execute(q.insert_senders, numbers, [owners[number] for number in numbers])
    owners = await _owners(connection, numbers)
    parked = [_parked(row) for row in await connection.fetch(q.parked_replies, numbers)]
    if parked:
        accounts = [owners[reply.sender] for reply in parked]
        people = [person_id(secret, owners[reply.sender], reply.number) for reply in parked]
        await connection.execute(q.claim_replies, [r.carrier_message_id for r in parked], accounts, people)
        await _obey(connection, parked, owners, secret, outbox)


def _parked(row: Any) -> Reply:
    return Reply(
        row["carrier_message_id"], row["number"], row["sender"], row["body"], Verdict(row["verdict"]),
        row["received_at"],
    )  # fmt: skip


async def page(pool: Pool, account_id: str, before: int | None, limit: int) -> list[dict[str, Any]]:
    """The account's replies, the newest first, each with its `seq`."""
    async with acting_for(pool, account_id) as connection:
        return [dict(row) for row in await connection.fetch(q.list_replies, account_id, before or LAST_SEQ, limit)]
