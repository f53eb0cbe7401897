"""Postgres: what people answer, and what follows from it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from kernel.database import Connection, Pool, acting_for
from kernel.outbox import Outbox
from kernel.seal import EVIDENCE, NUMBER, REPLY, Key, unseal
from kernel.steps import reached
from kernel.vault import Vault

from dispatcher import store_holds, store_notices
from dispatcher.heard import Heard
from dispatcher.keywords import Verdict
from dispatcher.notice import Way
from dispatcher.provider import TWILIO
from dispatcher.store import q
from dispatcher.store_callbacks import SERVICE_SUBJECT, service_key
from dispatcher.store_opt_outs import Word, change_opt_outs
from schemas import events as e
from schemas.identity import person_id
from schemas.reasons import OptOutSource

LAST_SEQ = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Reply:
    """One inbound message: `number` wrote it, to our `sender`; `way` is how it may be answered. A START was
    `received_at` when its carrier had it, as far as that is known, however late it is brought."""

    carrier_message_id: str
    number: str
    sender: str
    body: str
    verdict: Verdict
    received_at: datetime
    way: Way = Way.TEXT
    provider: str = TWILIO


async def owner_of(pool: Pool, sender: str) -> str | None:
    """The account a sender number belongs to; None while its campaign has not been read."""
    rows = await pool.fetch(q.owners_of_senders, [sender])
    return rows[0]["account_id"] if rows else None


async def _owners(connection: Connection, senders: Iterable[str]) -> dict[str, str]:
    return {row[0]: row[1] for row in await connection.fetch(q.owners_of_senders, list(senders))}


class Sealed(NamedTuple):
    """A reply as it is stored, and the person and account it is of, if that is known."""

    account_id: str | None
    person_id: str | None
    number: str
    body: str
    evidence: str  # the body again, sealed as what it proves


class Sealer:
    """Seals replies: with their person's key, or with the service's while nobody knows whose sender they answered."""

    def __init__(self, vault: Vault, secret: str) -> None:
        self._vault, self._secret = vault, secret

    async def seal(self, replies: Iterable[Reply], owners: Mapping[str, str]) -> dict[str, Sealed]:
        """By carrier message id."""
        replies = list(replies)
        people = {r.carrier_message_id: self._person(r, owners) for r in replies}
        accounts = {people[r.carrier_message_id]: owners[r.sender] for r in replies if r.sender in owners}
        keys = await self._vault.keys_for(accounts)
        if SERVICE_SUBJECT in people.values():
            keys |= await service_key(self._vault)
        return {r.carrier_message_id: _sealed(r, people[r.carrier_message_id], owners, keys) for r in replies}

    def _person(self, reply: Reply, owners: Mapping[str, str]) -> str:
        account_id = owners.get(reply.sender)
        return person_id(self._secret, account_id, reply.number) if account_id else SERVICE_SUBJECT

    async def open_parked(self, rows: Iterable[Any]) -> list[Reply]:
        key = (await service_key(self._vault))[SERVICE_SUBJECT]
        return [_parked(row, key) for row in rows]


def _sealed(reply: Reply, subject: str, owners: Mapping[str, str], keys: Mapping[str, Key]) -> Sealed:
    account_id, key = owners.get(reply.sender), keys[subject]
    number, body, evidence = key.seal(NUMBER, reply.number), key.seal(REPLY, reply.body), key.seal(EVIDENCE, reply.body)
    return Sealed(account_id, subject if account_id else None, number, body, evidence)


async def receive(pool: Pool, sealer: Sealer, replies: Sequence[Reply]) -> bool:
    """Stores the replies and puts in force what they ask for, committed on return; each carrier id counts once.

    A reply to a number that nobody owns yet is parked, and counts when the number's campaign is read.
    Answers whether events were written.
    """
    outbox, senders = Outbox(), {reply.sender for reply in replies}
    unique = {reply.carrier_message_id: reply for reply in reversed(replies)}
    async with pool.acquire() as connection:
        # Sealed before the lock, so that no intent waits for the vault; again only if a sender was learned in between.
        owners = await _owners(connection, senders)
        sealed = await sealer.seal(unique.values(), owners)
        async with connection.transaction():
            await connection.fetch(q.lock_for_opt_outs)
            known = await _owners(connection, senders)
            if known != owners:
                sealed = await sealer.seal(unique.values(), known)
            new = await _insert(connection, unique, sealed)
            await _obey(connection, new, sealed, outbox)
            wrote = bool(outbox)
            await outbox.write(connection)
            reached("reply.written")
    reached("reply.committed")
    return wrote


async def _insert(connection: Connection, unique: Mapping[str, Reply], sealed: Mapping[str, Sealed]) -> list[Reply]:
    ordered = [(unique[id_], sealed[id_]) for id_ in sorted(unique)]
    rows = await connection.fetch(
        q.insert_replies,
        [reply.carrier_message_id for reply, _ in ordered],
        [said.account_id for _, said in ordered],
        [said.person_id for _, said in ordered],
        [said.number for _, said in ordered],
        [reply.sender for reply, _ in ordered],
        [said.body for _, said in ordered],
        [reply.verdict for reply, _ in ordered],
        [reply.received_at for reply, _ in ordered],
        [reply.provider for reply, _ in ordered],
    )
    new = [unique[row[0]] for row in rows]
    return sorted(new, key=lambda reply: reply.received_at)


async def _obey(connection: Connection, replies: Iterable[Reply], sealed: Mapping[str, Sealed], outbox: Outbox) -> None:
    """What follows from new replies, in their order. Those of nobody we know yet are parked: they count later."""
    known = [heard for reply in replies if (heard := _heard(reply, sealed[reply.carrier_message_id]))]
    known = await _without_late_starts(connection, known)
    words = [_word(heard) for heard in known if heard.verdict in (Verdict.STOP, Verdict.START)]
    changed = await change_opt_outs(connection, words, outbox) if words else []
    await store_holds.follow(connection, known)
    await store_notices.answer(connection, known, {word.reply for word in changed})


async def _without_late_starts(connection: Connection, known: list[Heard]) -> list[Heard]:
    """A START that was said before a STOP, and comes after it, is no word any more; nor is it if that STOP, being a
    repeated one, changed nothing."""
    starts = [heard.carrier_message_id for heard in known if heard.verdict == Verdict.START]
    late = {row[0] for row in await connection.fetch(q.late_starts, starts)} if starts else set()
    return [heard for heard in known if heard.carrier_message_id not in late]


def _heard(reply: Reply, said: Sealed) -> Heard | None:
    if said.account_id is None or said.person_id is None:
        return None
    return Heard(
        reply.carrier_message_id, said.account_id, said.person_id, said.number, reply.sender, reply.body, said.evidence,
        reply.verdict, reply.way, reply.received_at, reply.provider,
    )  # fmt: skip


def _word(heard: Heard) -> Word:
    return Word(
        opted_out=heard.verdict == Verdict.STOP,
        account_id=heard.account_id,
        person_id=heard.person_id,
        number=heard.number,
        source=OptOutSource.REPLY,
        evidence=heard.evidence,
        actor=heard.provider,
        caused_by=None,
        at=heard.at,
        reply=heard.carrier_message_id,
    )


def senders_of(created: e.CampaignCreated) -> tuple[str, ...]:
    """All numbers a campaign's texts are sent from; before there could be several it told one."""
    return tuple(dict.fromkeys((created.sender, *created.senders)))


async def learn_senders(
    connection: Connection, sealer: Sealer, created: Sequence[e.CampaignCreated], outbox: Outbox
) -> None:
    """Whose the campaigns' numbers are; replies that were parked for them count now, in the order they came."""
    owners = {number: event.account_id for event in reversed(created) for number in senders_of(event)}
    await _learn(connection, sealer, owners, outbox)


async def learn_from_releases(
    connection: Connection, sealer: Sealer, released: Sequence[e.MessageReleased], outbox: Outbox
) -> None:
    """The same from messages that come before their campaign does: a STOP that is parked precedes their intents."""
    owners = {event.sender: event.account_id for event in released}
    known = await _owners(connection, owners)
    if missing := {number: account_id for number, account_id in owners.items() if number not in known}:
        await _learn(connection, sealer, missing, outbox)


async def _learn(connection: Connection, sealer: Sealer, owners: Mapping[str, str], outbox: Outbox) -> None:
    numbers = sorted(owners)
    await connection.fetch(q.lock_for_opt_outs)
    await connection.execute(q.insert_senders, numbers, [owners[number] for number in numbers])
    owners = await _owners(connection, numbers)
    rows = await connection.fetch(q.parked_replies, numbers)
    if rows:
        parked = await sealer.open_parked(rows)
        sealed = await sealer.seal(parked, owners)
        said = [sealed[reply.carrier_message_id] for reply in parked]
        await connection.execute(
            q.claim_replies,
            [reply.carrier_message_id for reply in parked],
            [one.account_id for one in said],
            [one.person_id for one in said],
            [one.number for one in said],
            [one.body for one in said],
        )
        await _obey(connection, parked, sealed, outbox)


def _parked(row: Any, key: Key) -> Reply:
    number, body = unseal(key, NUMBER, row["number"]), unseal(key, REPLY, row["body"])
    assert number is not None and body is not None, "the service's key is never destroyed"
    verdict = Verdict(row["verdict"])
    return Reply(
        row["carrier_message_id"], number, row["sender"], body, verdict, row["received_at"], Way.NONE, row["provider"]
    )


async def page(
    pool: Pool, vault: Vault, account_id: str, before: int | None, limit: int, verdict: Verdict | None = None
) -> list[dict[str, Any]]:
    """The account's replies, the newest first, each with its `seq`; `phone` and `body` are None for who was erased."""
    async with acting_for(pool, account_id) as connection:
        rows = await connection.fetch(q.list_replies, account_id, before or LAST_SEQ, limit, verdict)
    keys = await vault.keys(row["person_id"] for row in rows)
    return [{"seq": row["seq"], **shown(row, keys.get(row["person_id"]))} for row in rows]


def shown(row: Any, key: Key | None) -> dict[str, Any]:
    """A stored reply as people read it."""
    return {
        "carrier_message_id": row["carrier_message_id"],
        "person_id": row["person_id"],
        "phone": unseal(key, NUMBER, row["number"]),
        "sender": row["sender"],
        "body": unseal(key, REPLY, row["body"]),
        "verdict": row["verdict"],
        "received_at": row["received_at"],
    }
