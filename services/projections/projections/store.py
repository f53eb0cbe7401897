"""The read models in Postgres, as the fold writes them."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import asyncpg
from kernel.database import Connection, load_queries

from projections.changes import Change
from projections.progress import Attempt, Dropped, Listed, Pressed, Receipt, Row, State, Suppressed, leaf
from projections.storable import storable
from schemas.events import CampaignCreated, CampaignEnded, PersonErased, PersonOptedIn, PersonOptedOut

q = load_queries("projections")

# Of the table `recipients`, in the order of `columns_of`.
COLUMNS = (
    "recipient_id", "campaign_id", "account_id", "person_id", "position", "columns", "cells", "state", "reason_code",
    "history", "number", "processed_at", "processed_by", "due_at", "released_at", "dropped_at", "drop_reason",
    "suppressed_at", "suppress_reason", "opted_out_at", "attempt", "outcome", "sent_at", "accepted_at",
    "carrier_message_id", "segments", "outcome_code", "outcome_reason", "receipt_attempt", "receipt", "receipt_at",
    "receipt_code", "receipt_reason", "added_at", "outcome_at",
)  # fmt: skip
UNLISTED = 2**62  # position of a recipient whose RecipientAdded is not here yet: behind all others


class Stored(NamedTuple):
    """A recipient's row with the places of its events."""

    row: Row
    history: bytes


async def begin_batch(connection: Connection) -> None:
    await connection.execute(q.begin_batch)


async def lock_recipients(connection: Connection, recipient_ids: Sequence[str]) -> dict[str, Stored]:
    if not recipient_ids:
        return {}
    return {row[0]: _stored(*row) for row in await connection.fetch(q.lock_recipients, recipient_ids)}


async def update_recipients(connection: Connection, changed: Sequence[Stored], listed: Sequence[Stored]) -> None:
    """Writes locked rows; `listed` are those of them that learned their place in the list just now."""
    if changed:
        await connection.execute(_UPDATE, *_arrays(changed))
    if listed:
        await connection.execute(_LIST, *_arrays(listed))


async def insert_recipients(connection: Connection, new: Sequence[Stored]) -> None:
    """Inserts rows in id order. Raises a retriable error when another process has inserted one of them meanwhile."""
    if new:
        try:
            await connection.copy_records_to_table("recipients", columns=COLUMNS, records=map(columns_of, new))
        except asyncpg.UniqueViolationError as error:
            raise asyncpg.SerializationError("another process inserted one of these recipients") from error


async def change_figures(connection: Connection, changes: dict[str, Change]) -> None:
    ordered = sorted(changes.items())
    rows = [(id_, c.account_id, c.events, *(c.leaves[state] for state in State)) for id_, c in ordered]
    await connection.execute(q.change_figures, *zip(*rows, strict=True))
    failures = [(id_, reason, n) for id_, c in ordered for reason, n in sorted(c.failed_by_reason.items()) if n]
    if failures:
        await connection.execute(q.change_failures, *zip(*failures, strict=True))
    presses = [(id_, *press) for id_, c in ordered for press in _presses(c)]
    if presses:
        await connection.execute(q.change_senders, *zip(*presses, strict=True))
    minutes = [(id_, *minute) for id_, c in ordered for minute in _minutes(c)]
    if minutes:
        without = await connection.fetch(q.change_minutes, *zip(*minutes, strict=True))
        if without:  # or their rows would tell what was folded together
            await connection.execute(q.forget_minutes, *zip(*without, strict=True))


def _presses(change: Change) -> list[tuple[str, int, datetime, datetime]]:
    return sorted((user_id, *presses) for user_id, presses in change.senders.items())


def _minutes(change: Change) -> list[tuple[Any, ...]]:
    """The minutes in which figures changed, in order, each with the change of every leaf."""
    changed = sorted({minute for (minute, _), n in change.minutes.items() if n})
    return [(minute, *(change.minutes[minute, state] for state in State)) for minute in changed]


async def create_campaigns(connection: Connection, created: dict[str, tuple[CampaignCreated, bytes]]) -> None:
    rows = [
        (id_, e.account_id, place, storable(e.name), e.scheduled_for) for id_, (e, place) in sorted(created.items())
    ]
    await connection.execute(q.create_campaigns, *zip(*rows, strict=True))


async def end_campaigns(connection: Connection, ended: dict[str, tuple[CampaignEnded, bytes]]) -> None:
    rows = [(id_, e.account_id, place, e.ended_at) for id_, (e, place) in sorted(ended.items())]
    await connection.execute(q.end_campaigns, *zip(*rows, strict=True))


async def name_columns(connection: Connection, lists: Iterable[tuple[str, tuple[str, ...]]]) -> None:
    """`lists` are campaigns with the columns of a list of theirs, in list order."""
    places: dict[tuple[str, str], int] = {}
    for campaign_id, names in lists:
        for place, name in enumerate(names):
            key = campaign_id, storable(name)
            places[key] = min(place, places.get(key, place))
    rows = [(*key, place) for key, place in sorted(places.items())]
    if rows:
        await connection.execute(q.name_columns, *zip(*rows, strict=True))


async def record_opt_outs(
    connection: Connection, changes: Iterable[tuple[PersonOptedOut | PersonOptedIn, bytes]]
) -> None:
    facts = sorted((e.person_id, e.occurred_at, e.event_id, isinstance(e, PersonOptedOut), place, e.account_id)
                   for e, place in changes)  # fmt: skip
    await connection.execute(q.record_opt_outs, *zip(*facts, strict=True))


async def record_erasures(connection: Connection, erased: Iterable[tuple[PersonErased, bytes]]) -> None:
    facts = sorted((e.event_id, e.account_id, e.person_id, place) for e, place in erased)
    await connection.execute(q.record_erasures, *zip(*facts, strict=True))


async def drifted(connection: Connection) -> list[str]:
    """Campaigns whose stored figures differ from a recount of the rows: none, or we are wrong."""
    return [row[0] for row in await connection.fetch(q.drifted)]


# --- rows and columns ------------------------------------------------------------------------------------

_NAMES = ", ".join(COLUMNS)
_GIVEN = q.given.format(columns=_NAMES)
_UPDATE, _LIST = (statement.format(given=_GIVEN) for statement in (q.update_recipients, q.list_recipients))

_UNLISTED = Listed(UNLISTED)
_NO_PRESSED, _NO_DROPPED, _NO_SUPPRESSED = (None,) * 3, (None,) * 2, (None,) * 3
_NO_ATTEMPT, _NO_RECEIPT = (None,) * 9, (None,) * 5


def _arrays(rows: Sequence[Stored]) -> Iterable[tuple[Any, ...]]:
    return zip(*map(columns_of, rows), strict=True)


def columns_of(stored: Stored) -> tuple[Any, ...]:
    """A row as the table has it."""
    row, history = stored
    *place, added_at = row.listed or _UNLISTED
    *attempt, outcome_at = row.attempt or _NO_ATTEMPT
    return (
        *row[:4],
        *place,
        *leaf(row),
        history,
        row.number,
        *(row.pressed or _NO_PRESSED),
        row.released_at,
        *(row.dropped or _NO_DROPPED),
        *(row.suppressed or _NO_SUPPRESSED),
        *attempt,
        *(row.receipt or _NO_RECEIPT),
        added_at,
        outcome_at,
    )


def _stored(*columns: Any) -> Stored:
    """A row as `lock_recipients` answers it."""
    recipient_id, campaign_id, account_id, person_id, position, added_at, history, number, *facts = columns
    pressed, released_at, dropped, suppressed = facts[:3], facts[3], facts[4:6], facts[6:9]
    attempt, receipt = facts[9:18], facts[18:]
    row = Row(
        recipient_id,
        campaign_id,
        account_id,
        person_id,
        number,
        Listed(position, added_at=added_at) if position != UNLISTED else None,
        Pressed(*pressed) if pressed[0] else None,
        released_at,
        Dropped(*dropped) if dropped[0] else None,
        Suppressed(*suppressed) if suppressed[0] else None,
        Attempt(*attempt) if attempt[0] is not None else None,
        Receipt(*receipt) if receipt[0] is not None else None,
    )
    return Stored(row, history)
