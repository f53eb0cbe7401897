"""Postgres: messages whose turn it is become intents, are suppressed, or wait for a key that is missing."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg
import structlog
from kernel.database import Connection
from kernel.outbox import Outbox
from kernel.seal import NUMBER, Key, Tampered, text_of, unseal
from kernel.vault import Vault

from dispatcher import clearance, usefulness
from dispatcher.attempt import SERVICE
from dispatcher.clearance import Clear, Suppress
from dispatcher.store import q
from schemas import events as e
from schemas.identity import event_id
from schemas.reasons import OptOutSource, SuppressReason

log = structlog.get_logger()

HOLD = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Intent:
    """Licence for one POST, by the process that took it."""

    recipient_id: str
    attempt: int
    sender: str
    provider: str
    request: bytes  # what will be POSTed, byte for byte
    repeats: int = 0  # how often it was put back to be POSTed again
    useful_until: datetime | None = None

    @property
    def key(self) -> tuple[str, int]:
        return self.recipient_id, self.attempt


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
class Taken:
    """What became of the messages whose turn it was."""

    messages: int
    suppressed: int
    intents: list[Intent]


async def take_intents(
    connection: Connection,
    vault: Vault,
    limit: int,
    owner: int,
    at: datetime,
    outbox: Outbox,
    compose: Compose,
    useful_for: timedelta | None = None,
) -> Taken:
    """Takes up to `limit` messages off the queue; those past their latest useful time at `at` are not sent.

    Runs in the caller's transaction, which must commit before the first byte leaves. The keys are read under the lock
    that erasures take: a person is erased wholly before an intent, or wholly after it.
    """
    await connection.fetch(q.lock_for_intents)
    rows = await connection.fetch(q.take_messages, limit)
    keys = await vault.keys(row["person_id"] for row in rows)
    clear: dict[str, Intent] = {}
    sealed: dict[str, str] = {}
    suppressed, held = [], []
    for row in rows:
        until = usefulness.useful_until(row["useful_until"], row["due_at"], useful_for)
        opened, key = _opened(row, keys), keys.get(row["person_id"])
        too_late = usefulness.is_over(until, at)
        match clearance.decide(_opt_out(row), erased=row["erased"], readable=opened is not None, too_late=too_late):
            case Suppress() as why:
                suppressed.append(row["recipient_id"])
                outbox.add(suppressed_event(row, why, at, until))
            case Clear() if opened is not None:
                clear[opened.recipient_id] = intent = _composed(opened, compose, until)
                sealed[opened.recipient_id] = seal_request(key, intent)
            case _:
                held.append(row)
    new = await _write_intents(connection, list(clear.values()), sealed, owner, at)
    outbox.extend(_attempted(row, clear[row["recipient_id"]], at) for row in rows if row["recipient_id"] in new)
    if suppressed:
        await connection.execute(q.suppress, suppressed, at)
    if held:
        await _hold(connection, held, at)
    return Taken(len(rows), len(suppressed), [intent for id_, intent in clear.items() if id_ in new])


async def _write_intents(
    connection: Connection, intents: Sequence[Intent], sealed: Mapping[str, str], owner: int, at: datetime
) -> set[str]:
    """The recipients whose attempts are new. One that exists is another process's, or was sent before a rebuild."""
    if not intents:
        return set()
    rows = await connection.fetch(
        q.write_intents, [i.recipient_id for i in intents], [i.attempt for i in intents], at, owner,
        [i.provider for i in intents], [sealed[i.recipient_id] for i in intents],
    )  # fmt: skip
    return {row[0] for row in rows}


async def _hold(connection: Connection, rows: Sequence[asyncpg.Record], at: datetime) -> None:
    log.error("keys_missing", messages=len(rows), advice="Is this the vault they were sealed with?")
    ordered = sorted(rows, key=lambda row: str(row["recipient_id"]))
    await connection.execute(
        q.requeue,
        [row["recipient_id"] for row in ordered],
        [row["attempt"] for row in ordered],
        [at + HOLD] * len(ordered),
    )


def seal_request(key: Key | None, intent: Intent) -> str:
    """The request as it is stored: sealed as its message is; without a key, as old messages are, it stays plain too."""
    text = intent.request.decode("latin-1")  # any byte is a character, and comes back as it was
    return key.seal(request_of(intent.recipient_id), text) if key else text


def open_request(key: Key | None, recipient_id: str, sealed: str) -> bytes | None:
    """The exact bytes; None when the key is gone. Raises Tampered."""
    text = unseal(key, request_of(recipient_id), sealed)
    return None if text is None else text.encode("latin-1")


def request_of(recipient_id: str) -> str:
    """What a request is sealed as: bound to its recipient, as the text in it is."""
    return f"request {recipient_id}"


def _composed(opened: Opened, compose: Compose, until: datetime | None) -> Intent:
    provider, request = compose(opened)
    return Intent(opened.recipient_id, opened.attempt, opened.sender, provider, request, useful_until=until)


def _opened(row: asyncpg.Record, keys: Mapping[str, Key]) -> Opened | None:
    rid, key = row["recipient_id"], keys.get(row["person_id"])
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
