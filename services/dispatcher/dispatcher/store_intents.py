"""Postgres: messages whose turn it is become intents, are suppressed, or wait for what is missing."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import asyncpg
import structlog
from kernel import segments
from kernel.database import Connection
from kernel.outbox import Outbox
from kernel.seal import NUMBER, Key, Tampered, text_of, unseal
from kernel.vault import Vault

from dispatcher import clearance, store_budgets, usefulness
from dispatcher.attempt import SERVICE
from dispatcher.budget import NO_LIMITS, Limits, Purse
from dispatcher.clearance import Clear, Suppress, Wait, Why
from dispatcher.store import q
from dispatcher.turns import Lane
from schemas import events as e
from schemas.identity import event_id
from schemas.reasons import OptOutSource, SuppressReason

log = structlog.get_logger()

LOOK_AGAIN = timedelta(seconds=30)  # at what a person waits for; whoever ends that wakes them at once
PUT_ASIDE = timedelta(seconds=60)  # for a key that is missing, or what another version or provider may compose
NUL = "\u2400"  # stands for the one character that Postgres has no place for; no byte is decoded to it
NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Intent:
    """Licence for one POST, by the process that took it."""

    recipient_id: str
    attempt: int
    lane: Lane
    provider: str
    request: bytes  # what will be POSTed, byte for byte
    repeats: int = 0  # how often it was put back to be POSTed again
    useful_until: datetime | None = None

    @property
    def key(self) -> tuple[str, int]:
        return self.recipient_id, self.attempt

    @property
    def sender(self) -> str:
        return self.lane.sender


@dataclass(frozen=True, slots=True)
class Opened:
    """A message whose turn it is, as only the carrier sees it."""

    recipient_id: str
    attempt: int
    number: str
    text: str
    sender: str


Compose = Callable[[Opened], tuple[str, bytes]]  # the provider, and the bytes that ask it for the text


@dataclass(frozen=True, slots=True)
class Terms:
    """Under which intents are taken. `unknown_hold_s` is how long an unknown outcome holds the person's later texts,
    `useful_for` how long after it was due a message is worth sending."""

    owner: int
    at: datetime
    limits: Limits = NO_LIMITS
    unknown_hold_s: int = 0
    useful_for: timedelta | None = None

    @property
    def unknown_since(self) -> datetime:
        """Unknown outcomes younger than this hold later texts to the person."""
        return self.at - timedelta(seconds=self.unknown_hold_s) if self.unknown_hold_s else NEVER

    def held_until(self, since: datetime) -> datetime:
        """Until when an outcome that is unknown since then holds them."""
        return since + timedelta(seconds=self.unknown_hold_s)


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
    sealed: dict[str, str] = field(default_factory=dict)  # the requests of what is clear
    suppressed: list[str] = field(default_factory=list)
    put_back: list[tuple[asyncpg.Record, datetime | None, Why | None]] = field(default_factory=list)


async def take_intents(
    connection: Connection,
    vault: Vault,
    picked: Mapping[Lane, int],
    terms: Terms,
    outbox: Outbox,
    compose: Compose,
) -> Taken:
    """Takes up to so many messages off each lane, and no more than its budgets pay for; those past their latest useful
    time are not sent.

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
        _sort(row, keys.get(row["person_id"]), by_fate, taken, terms, outbox, compose)
    new = await _write_intents(connection, by_fate, terms)
    outbox.extend(_attempted(row, by_fate.clear[row["recipient_id"]], terms.at) for row in rows
                  if row["recipient_id"] in new)  # fmt: skip
    if by_fate.suppressed:
        await connection.execute(q.suppress, by_fate.suppressed, terms.at)
    await _put_back(connection, by_fate)
    await store_budgets.write(connection, taken.purse)
    taken.suppressed = len(by_fate.suppressed)
    taken.intents = [intent for id_, intent in by_fate.clear.items() if id_ in new]
    return taken


def _sort(
    row: asyncpg.Record, key: Key | None, by_fate: _Sorted, taken: Taken, terms: Terms, outbox: Outbox, compose: Compose
) -> None:
    lane, opened = Lane(row["account_id"], row["campaign_id"], row["sender"]), _opened(row, key)
    until = usefulness.useful_until(row["useful_until"], row["due_at"], terms.useful_for)
    taken.found[lane] += 1
    decision = clearance.decide(
        _opt_out(row),
        erased=row["erased"],
        readable=opened is not None,
        too_late=usefulness.is_over(until, terms.at),
        held=row["held"],
        unknown=row["unknown_since"] is not None,
    )
    match decision:
        case Suppress() as why:
            by_fate.suppressed.append(row["recipient_id"])
            outbox.add(suppressed_event(row, why, terms.at, until))
        case Wait(why_not):
            by_fate.put_back.append((row, _until(row, why_not, terms), why_not))
        case Clear() if opened is not None:
            asked = _composed(compose, opened)
            if asked is None:
                by_fate.put_back.append((row, terms.at + PUT_ASIDE, Why.COMPOSE))
            elif _affordable(opened, lane, taken):
                intent = Intent(opened.recipient_id, opened.attempt, lane, *asked, useful_until=until)
                by_fate.clear[intent.recipient_id] = intent
                by_fate.sealed[intent.recipient_id] = seal_request(key, intent)
            else:
                by_fate.put_back.append((row, None, None))
        case _:
            by_fate.put_back.append((row, terms.at + PUT_ASIDE, Why.KEY))


def _until(row: asyncpg.Record, why: Why, terms: Terms) -> datetime:
    """When what a person waits for is looked at again: no later than an unknown outcome stops to hold them."""
    again = terms.at + LOOK_AGAIN
    return min(again, terms.held_until(row["unknown_since"])) if why == Why.UNKNOWN else again


def _composed(compose: Compose, opened: Opened) -> tuple[str, bytes] | None:
    """None for a text that no bytes can be made of: whatever that raises, the others of the batch go."""
    try:
        return compose(opened)
    except Exception as error:  # not its words: they may repeat the text
        log.error("message_not_composed", recipient_id=opened.recipient_id, error=type(error).__name__)
        return None


def _affordable(opened: Opened, lane: Lane, taken: Taken) -> bool:
    if not taken.purse.budgets:
        return True
    needed = taken.segments[lane.campaign_id] = segments.count(opened.text).segments
    return taken.purse.spend(lane, needed)


async def _write_intents(connection: Connection, by_fate: _Sorted, terms: Terms) -> set[str]:
    """The recipients whose attempts are new. One that exists is another process's, or was sent before a rebuild."""
    intents = list(by_fate.clear.values())
    if not intents:
        return set()
    rows = await connection.fetch(
        q.write_intents, [i.recipient_id for i in intents], [i.attempt for i in intents], terms.at, terms.owner,
        [i.provider for i in intents], [by_fate.sealed[i.recipient_id] for i in intents],
    )  # fmt: skip
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


def seal_request(key: Key | None, intent: Intent) -> str:
    """The request as it is stored: sealed as its message is; without a key, as old messages are, it stays plain too."""
    text = intent.request.decode("latin-1")  # any byte is a character, and comes back as it was
    return key.seal(request_of(intent.recipient_id), text) if key else text.replace("\0", NUL)


def open_request(key: Key | None, recipient_id: str, sealed: str) -> bytes | None:
    """The exact bytes; None when the key is gone. Raises Tampered."""
    text = unseal(key, request_of(recipient_id), sealed)
    return None if text is None else text.replace(NUL, "\0").encode("latin-1")


def request_of(recipient_id: str) -> str:
    """What a request is sealed as: bound to its recipient, as the text in it is."""
    return f"request {recipient_id}"


def _opened(row: asyncpg.Record, key: Key | None) -> Opened | None:
    rid = row["recipient_id"]
    try:
        number, text = unseal(key, NUMBER, row["number"]), unseal(key, text_of(rid), row["text"])
    except Tampered as error:
        log.error("message_tampered", recipient_id=rid, error=str(error))
        return None
    return None if number is None or text is None else Opened(rid, row["attempt"], number, text, row["sender"])


def _opt_out(row: asyncpg.Record) -> clearance.OptOut | None:
    if row["source"] is None:
        return None
    return clearance.OptOut(OptOutSource(row["source"]), row["opted_out_at"], row["opt_out_event_id"])


def suppressed_event(row: asyncpg.Record, why: Suppress, at: datetime, until: datetime | None) -> e.MessageSuppressed:
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
        useful_until=until if why.reason == SuppressReason.TOO_LATE else None,
    )


def _attempted(row: asyncpg.Record, intent: Intent, at: datetime) -> e.SendAttempted:
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
        provider=intent.provider,
    )
