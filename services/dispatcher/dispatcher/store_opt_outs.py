"""Postgres: who has opted out. Changes take a lock that intents share: each intent precedes a change or sees it."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from kernel.database import Connection, Pool, acting_for
from kernel.outbox import Outbox
from kernel.seal import EVIDENCE, NUMBER, Key, unseal
from kernel.vault import Vault

from dispatcher import clearance, store_holds
from dispatcher.store import FIRST_ID, q
from dispatcher.store_holds import Decision
from schemas import events as e
from schemas.identity import event_id
from schemas.reasons import OptOutSource


@dataclass(frozen=True, slots=True)
class Word:
    """Someone says that a person opts out, or in again. `number` and `evidence` are sealed already."""

    opted_out: bool
    account_id: str
    person_id: str
    number: str
    source: OptOutSource
    evidence: str
    actor: str
    caused_by: str | None
    at: datetime
    reply: str | None = None  # the carrier's id of the reply that said so


@dataclass(slots=True)
class _Standing:
    in_force: bool = False
    source: OptOutSource = OptOutSource.UNKNOWN
    changes: int = 0
    changed_at: datetime | None = None


class Recorded(NamedTuple):
    """For whom something changed, and how long intents could not be taken meanwhile."""

    changed: set[str]
    held_s: float


async def record(pool: Pool, words: Sequence[Word]) -> Recorded:
    """Puts the words in force, committed on return."""
    outbox = Outbox()
    async with acting_for(pool, *{word.account_id for word in words}) as connection:
        async with connection.transaction():
            await connection.fetch(q.lock_for_opt_outs)
            since = time.monotonic()
            changed = await change_opt_outs(connection, words, outbox)
            await outbox.write(connection)
        held_s = time.monotonic() - since
    return Recorded({word.person_id for word in changed}, held_s)


async def change_opt_outs(connection: Connection, words: Sequence[Word], outbox: Outbox) -> list[Word]:
    """Applies the words in order; answers those that changed something.

    The caller's transaction holds `lock_for_opt_outs` and was given it first.
    """
    standing = await _standing(connection, {word.person_id for word in words})
    changed: list[Word] = []
    written: dict[str, tuple[Word, _Standing, str]] = {}
    for word in words:
        now = standing.setdefault(word.person_id, _Standing())
        if not _changes(now, word):
            continue
        now.in_force, now.source, now.changes = word.opted_out, word.source, now.changes + 1
        now.changed_at = word.at
        event = _event(word, now.changes)
        outbox.add(event)
        changed.append(word)
        written[word.person_id] = (word, now, event.event_id)
    if written:
        await _write(connection, [written[person_id] for person_id in sorted(written)])
    return changed


async def _note_ended(connection: Connection, holds: Sequence[Any], words: Mapping[str, Word]) -> None:
    """Holds that ended with an opt-out. Words that come together come from one mouth."""
    decisions = {
        person_id: Decision.STOPPED if clearance.reply_lifts(word.source) else Decision.OPTED_OUT
        for person_id, word in words.items()
    }
    word = words[holds[0]["person_id"]]
    await store_holds.decided(connection, holds, decisions, "", word.actor, word.at)


async def _standing(connection: Connection, person_ids: set[str]) -> dict[str, _Standing]:
    rows = await connection.fetch(q.read_opt_outs, sorted(person_ids))
    return {row[0]: _Standing(row[1], OptOutSource(row[2]), row[3], row[4]) for row in rows}


def _changes(now: _Standing, word: Word) -> bool:
    if word.opted_out:
        return clearance.opts_out(now.source if now.in_force else None, word.source)
    if word.source != OptOutSource.REPLY:
        return now.in_force
    late = now.changed_at is not None and word.at < now.changed_at  # a START that was said before, and comes after
    return now.in_force and clearance.reply_lifts(now.source) and not late


def _event(word: Word, ordinal: int) -> e.PersonOptedOut | e.PersonOptedIn:
    kind = e.PersonOptedOut if word.opted_out else e.PersonOptedIn
    return kind(
        event_id=event_id(word.person_id, kind.__name__, ordinal),
        account_id=word.account_id,
        person_id=word.person_id,
        occurred_at=word.at,
        actor=word.actor,
        caused_by=word.caused_by,
        number=word.number,
        source=word.source,
        evidence=word.evidence,
        reply=word.reply,
    )


async def _write(connection: Connection, rows: list[tuple[Word, _Standing, str]]) -> None:
    ended = await connection.fetch(
        q.write_opt_outs,
        [word.person_id for word, _, _ in rows],
        [word.account_id for word, _, _ in rows],
        [word.number for word, _, _ in rows],
        [now.in_force for _, now, _ in rows],
        [now.source for _, now, _ in rows],
        [word.evidence for word, _, _ in rows],
        [word.at for word, _, _ in rows],
        [word.actor for word, _, _ in rows],
        [now.changes for _, now, _ in rows],
        [event for _, _, event in rows],
        [word.reply for word, _, _ in rows],
    )
    if ended:
        await _note_ended(connection, ended, {word.person_id: word for word, _, _ in rows})


async def page(pool: Pool, vault: Vault, account_id: str, after: str | None, limit: int) -> list[dict[str, Any]]:
    """The account's opt-outs in force, in the order of person_id; `phone` is None for who was erased."""
    async with acting_for(pool, account_id) as connection:
        rows = await connection.fetch(q.list_opt_outs, account_id, after or FIRST_ID, limit)
    keys = await vault.keys(row["person_id"] for row in rows)
    return [_shown(row, keys) for row in rows]


class Standing(NamedTuple):
    """How a person stands with the account, now or once; `number` is sealed."""

    number: str
    in_force: bool
    shown: dict[str, Any]


async def find(pool: Pool, vault: Vault, account_id: str, person_id: str) -> Standing | None:
    """One person the account has known to opt out, now or once."""
    async with acting_for(pool, account_id) as connection:
        row = await connection.fetchrow(q.find_opt_out, account_id, person_id)
    if row is None:
        return None
    return Standing(row["number"], row["in_force"], _shown(row, await vault.keys([person_id])))


def _shown(row: Any, keys: Mapping[str, Key]) -> dict[str, Any]:
    key = keys.get(row["person_id"])
    return {
        "person_id": row["person_id"],
        "phone": unseal(key, NUMBER, row["number"]),
        "source": row["source"],
        "reason": unseal(key, EVIDENCE, row["evidence"]),
        "opted_out_at": row["changed_at"],
        "opted_out_by": row["changed_by"],
        "reply": row["reply"],
    }
