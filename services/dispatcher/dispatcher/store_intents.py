"""Postgres: messages whose turn it is become intents, are suppressed, or wait for a key that is missing."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import asyncpg
import structlog
from kernel.database import Connection
from kernel.outbox import Outbox
from kernel.seal import NUMBER, Key, Tampered, text_of, unseal
from kernel.vault import Vault

from dispatcher import clearance, segments, store_budgets
from dispatcher.attempt import PROVIDER, SERVICE
from dispatcher.budget import NO_LIMITS, Limits, Purse
from dispatcher.clearance import Clear, Suppress, Wait, Why
from dispatcher.store import q
from dispatcher.turns import Lane
from schemas import events as e
from schemas.identity import event_id
from schemas.reasons import OptOutSource

log = structlog.get_logger()

LOOK_AGAIN = timedelta(seconds=30)  # at what a person waits for; whoever ends that wakes them at once
KEY_MISSING = timedelta(seconds=60)
NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Intent:
    """Licence for one POST, by the process that took it."""

    recipient_id: str
    attempt: int
    number: str
    text: str
    lane: Lane

    @property
    def key(self) -> tuple[str, int]:
        return self.recipient_id, self.attempt

    @property
    def sender(self) -> str:
        return self.lane.sender


@dataclass(frozen=True, slots=True)
class Terms:
    """Under which intents are taken. `unknown_hold_s` is how long an unknown outcome holds the person's later texts."""

    owner: int
    at: datetime
    limits: Limits = NO_LIMITS
    unknown_hold_s: int = 0

    @property
    def unknown_since(self) -> datetime:
        """Unknown outcomes younger than this hold later texts to the person."""
        return self.at - timedelta(seconds=self.unknown_hold_s) if self.unknown_hold_s else NEVER


@dataclass(slots=True)
class Taken:
    """What became of the messages whose turn it was."""

    purse: Purse
    intents: list[Intent] = field(default_factory=list)
    suppressed: int = 0
    found: Counter[Lane] = field(default_factory=Counter)  # messages, however they ended
    segments: dict[str, int] = field(default_factory=dict)  # of the campaign's last text that was counted

    @property
    def messages(self) -> int:
        return self.found.total()


@dataclass(slots=True)
class _Sorted:
    """The messages by what is to be done about them."""

    clear: dict[str, Intent] = field(default_factory=dict)
    suppressed: list[str] = field(default_factory=list)
    put_back: list[tuple[asyncpg.Record, datetime | None, Why | None]] = field(default_factory=list)


async def take_intents(
    connection: Connection, vault: Vault, picked: Mapping[Lane, int], terms: Terms, outbox: Outbox
) -> Taken:
    """Takes up to so many messages off each lane, and no more than its budgets pay for.

    Runs in the caller's transaction, which must commit before the first byte leaves. The keys are read under the lock
    that erasures take: a person is erased wholly before an intent, or wholly after it.
    """
    await connection.fetch(q.lock_for_intents)
    taken = Taken(await store_budgets.lock(connection, terms.limits, picked))
    rows = await connection.fetch(
        q.take_messages,
        [lane.sender for lane in picked],
        [lane.campaign_id for lane in picked],
        list(picked.values()),
        terms.unknown_since,
    )
    keys = await vault.keys(row["person_id"] for row in rows)
    by_fate = _Sorted()
    for row in rows:
        _sort(row, keys, by_fate, taken, terms, outbox)
    new = await _write_intents(connection, list(by_fate.clear.values()), terms.owner, terms.at)
    outbox.extend(_attempted(row, terms.at) for row in rows if row["recipient_id"] in new)
    if by_fate.suppressed:
        await connection.execute(q.suppress, by_fate.suppressed, terms.at)
    await _put_back(connection, by_fate)
    await store_budgets.write(connection, taken.purse)
    taken.suppressed = len(by_fate.suppressed)
    taken.intents = [intent for id_, intent in by_fate.clear.items() if id_ in new]
    return taken


def _sort(
    row: asyncpg.Record, keys: Mapping[str, Key], by_fate: _Sorted, taken: Taken, terms: Terms, outbox: Outbox
) -> None:
    intent = _opened(row, keys)
    taken.found[_lane(row)] += 1
    match clearance.decide(
        _opt_out(row), erased=row["erased"], readable=intent is not None, held=row["held"], unknown=row["unknown"]
    ):
        case Suppress() as why:
            by_fate.suppressed.append(row["recipient_id"])
            outbox.add(_suppressed(row, why, terms.at))
        case Wait(why_not):
            by_fate.put_back.append((row, terms.at + LOOK_AGAIN, why_not))
        case Clear() if intent is not None:
            if _affordable(intent, taken):
                by_fate.clear[intent.recipient_id] = intent
            else:
                by_fate.put_back.append((row, None, None))
        case _:
            by_fate.put_back.append((row, terms.at + KEY_MISSING, Why.KEY))


def _affordable(intent: Intent, taken: Taken) -> bool:
    if not taken.purse.budgets:
        return True
    needed = taken.segments[intent.lane.campaign_id] = segments.count(intent.text).segments
    return taken.purse.spend(intent.lane, needed)


async def _write_intents(connection: Connection, intents: Sequence[Intent], owner: int, at: datetime) -> set[str]:
    """The recipients whose attempts are new. One that exists is another process's, or was sent before a rebuild."""
    if not intents:
        return set()
    rows = await connection.fetch(
        q.write_intents, [i.recipient_id for i in intents], [i.attempt for i in intents], at, owner
    )
    return {row[0] for row in rows}


async def _put_back(connection: Connection, by_fate: _Sorted) -> None:
    if not by_fate.put_back:
        return
    missing = sum(why == Why.KEY for *_, why in by_fate.put_back)
    if missing:
        log.error("keys_missing", messages=missing, advice="Is this the vault they were sealed with?")
    ordered = sorted(by_fate.put_back, key=lambda one: str(one[0]["recipient_id"]))
    await connection.execute(
        q.requeue,
        [row["recipient_id"] for row, *_ in ordered],
        [row["attempt"] for row, *_ in ordered],
        [until for _, until, _ in ordered],
        [why for *_, why in ordered],
    )


def _lane(row: asyncpg.Record) -> Lane:
    return Lane(row["account_id"], row["campaign_id"], row["sender"])


def _opened(row: asyncpg.Record, keys: Mapping[str, Key]) -> Intent | None:
    rid, key = row["recipient_id"], keys.get(row["person_id"])
    try:
        number, text = unseal(key, NUMBER, row["number"]), unseal(key, text_of(rid), row["text"])
    except Tampered as error:
        log.error("message_tampered", recipient_id=rid, error=str(error))
        return None
    return None if number is None or text is None else Intent(rid, row["attempt"], number, text, _lane(row))


def _opt_out(row: asyncpg.Record) -> clearance.OptOut | None:
    if row["source"] is None:
        return None
    return clearance.OptOut(OptOutSource(row["source"]), row["opted_out_at"], row["opt_out_event_id"])


def _suppressed(row: asyncpg.Record, why: Suppress, at: datetime) -> e.MessageSuppressed:
    return e.MessageSuppressed(
        event_id=event_id(row["recipient_id"], "MessageSuppressed"),
        account_id=row["account_id"],
        campaign_id=row["campaign_id"],
        recipient_id=row["recipient_id"],
        person_id=row["person_id"],
        occurred_at=at,
        actor=SERVICE,
        caused_by=row["released_by"],
        reason=why.reason,
        opted_out_at=why.opt_out.opted_out_at if why.opt_out else None,
        opt_out_event_id=why.opt_out.event_id if why.opt_out else None,
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
