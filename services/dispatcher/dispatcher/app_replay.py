"""The dispatcher's tables once more, of the log: what was released, attempted, answered, and said about texts."""

from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any

from kernel.database import Connection, Pool, load_queries
from kernel.received import Received
from kernel.replay import Rebuilt
from kernel.replay_facts import Facts, Rows, by_type
from kernel.replay_tables import LONG_S, keep_first
from kernel.seal import key_id_of

from dispatcher.app import TOPICS
from dispatcher.attempt import State
from dispatcher.history import AttemptEvent, Fact, fact_of, retold
from dispatcher.store_replies import senders_of
from schemas import events as e

q = load_queries("dispatcher", "replay.sql")

OWN = ("dispatches", "receipts", "opt-outs")
OPERATIONAL = {
    "queue", "budgets", "in_flight", "callbacks", "carrier_ids", "replies", "resolutions", "holds", "hold_decisions",
    "notices", "sweep", "late", "marks",
    "erased.reason", "erased.finished_at",
}  # fmt: skip
FACTS_AT_ONCE = 5000

Row = tuple[str, Sequence[Any]]


def _message(m: e.MessageReleased) -> Row:
    ids = m.recipient_id, m.account_id, m.campaign_id, m.person_id, m.event_id
    return "messages", (*ids, m.due_at, m.number, m.text, m.sender, None, key_id_of(m.number), m.useful_until)


def _suppression(event: e.MessageSuppressed) -> Row:
    return "suppressions", (event.recipient_id, event.occurred_at)


def _dispatch(event: AttemptEvent) -> Row:
    return "facts", (*fact_of(event), False)


def _receipt(event: AttemptEvent) -> Row:
    return "facts", (*fact_of(event), True)


def _word(w: e.PersonOptedOut | e.PersonOptedIn) -> Row:
    said = isinstance(w, e.PersonOptedOut), w.source, w.evidence, w.occurred_at, w.actor, w.event_id, w.reply
    return "words", (w.person_id, w.account_id, w.number, *said)


def _erasure(event: e.PersonErased) -> Row:
    key_id = bytes.fromhex(event.key_id)
    return "erased", (event.person_id, key_id, event.account_id, event.occurred_at, event.actor, event.event_id)


ROWS: dict[type, Callable[[Any], Row]] = {
    e.MessageReleased: _message,
    e.MessageSuppressed: _suppression,
    **dict.fromkeys(
        (e.SendAttempted, e.SendNotAccepted, e.MessageAccepted, e.MessageRejected, e.MessageUnresolved), _dispatch
    ),
    **dict.fromkeys((e.MessageDelivered, e.MessageNotDelivered, e.MessageUnconfirmed), _receipt),
    e.PersonOptedOut: _word,
    e.PersonOptedIn: _word,
    e.PersonErased: _erasure,
}


async def _note(_: Connection, batch: list[Received]) -> Rows:
    return chain(by_type(ROWS, batch), _senders(batch), _senders_of_releases(batch))


def _senders(batch: Iterable[Received]) -> Rows:
    for received in batch:
        if isinstance(created := received.event, e.CampaignCreated):
            for number in senders_of(created):
                yield "senders", (number, created.account_id, received.offset)


def _senders_of_releases(batch: list[Received]) -> Rows:
    """A message may come before its campaign, and tells whose its sender is as well."""
    first: dict[str, tuple[str, Sequence[Any]]] = {}
    for received in batch:
        event = received.event
        if isinstance(event, e.MessageReleased):
            first.setdefault(event.sender, ("senders", (event.sender, event.account_id, received.offset)))
    return first.values()


async def _finish(connection: Connection) -> None:
    await keep_first(connection, "messages", "recipient_id")
    await keep_first(connection, "erased", "person_id, key_id")
    await keep_first(connection, "senders", "number")
    await connection.execute(q.suppress, timeout=LONG_S)
    await connection.execute(q.opt_outs, timeout=LONG_S)
    await _tell_lives(connection)
    await connection.execute(q.unknowns, timeout=LONG_S)


async def _tell_lives(connection: Connection) -> None:
    await connection.execute(q.lives, timeout=LONG_S)
    facts: list[Fact] = []
    while page := await connection.fetch(f"FETCH {FACTS_AT_ONCE} FROM lives", timeout=LONG_S):
        facts += (Fact(*row) for row in page)
        cut = next(at for at, fact in enumerate(facts) if fact.key == facts[-1].key)
        await _put(connection, facts[:cut])
        facts = facts[cut:]
    await _put(connection, facts)
    await connection.execute("CLOSE lives")


async def _put(connection: Connection, facts: Iterable[Fact]) -> None:
    rows = [
        (
            a.recipient_id, a.attempt, a.state, a.state == State.REFUSED, attempted_at, a.accepted_at, a.unresolved_at,
            a.carrier_message_id, a.carrier_code, a.reason, a.provider,
        )
        for attempted_at, a in retold(facts)
    ]  # fmt: skip
    await connection.copy_records_to_table("attempts", records=rows)


def _fold(pool: Pool) -> Facts:
    return Facts(pool, q.make, _note, _finish)


REBUILT = Rebuilt("dispatcher", _fold, inputs=TOPICS, own=OWN, operational=frozenset(OPERATIONAL))
