"""What the events say about one recipient, and which state it is counted in.

A row is a join of facts: repeats add nothing, and any order of the events gives the same row. Of several attempts the
latest counts, of what is known about one attempt the strongest; a later fact implies the earlier ones.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from projections.storable import headers, storable_json
from schemas import events as e
from schemas.events import Event


class State(StrEnum):
    """The leaf a recipient is counted in."""

    UNPROCESSED = "unprocessed"
    WAITING = "waiting"
    SUPPRESSED = "suppressed"
    DROPPED = "dropped"
    DELIVERED = "delivered"
    FAILED = "failed"
    AWAITING = "awaiting"
    UNCONFIRMED = "unconfirmed"
    UNKNOWN = "unknown"


class Listed(NamedTuple):
    """The recipient's place in the list. Columns and cells are None when read back: they never change."""

    position: int
    columns: str | None = None  # the list's headers, a JSON array
    cells: str | None = None  # what stands under them, a JSON array, sealed
    added_at: datetime | None = None


class Pressed(NamedTuple):
    """A user pressed SEND."""

    processed_at: datetime
    processed_by: str
    due_at: datetime


class Dropped(NamedTuple):
    """The campaign ended before the message's time."""

    dropped_at: datetime
    reason: str


class Suppressed(NamedTuple):
    """The person had opted out."""

    suppressed_at: datetime
    reason: str
    opted_out_at: datetime | None


class Attempt(NamedTuple):
    """The latest attempt and the strongest thing known about it. A receipt proves acceptance before it is heard of."""

    number: int
    outcome: str
    sent_at: datetime | None = None
    accepted_at: datetime | None = None
    carrier_message_id: str | None = None
    segments: int | None = None
    carrier_code: str | None = None
    reason: str | None = None
    outcome_at: datetime | None = None  # of what carries a reason: not accepted, rejected, unknown


class Receipt(NamedTuple):
    """The strongest receipt: delivered is final, else the latest attempt's."""

    attempt: int
    verdict: str
    at: datetime
    carrier_code: str | None
    reason: str | None


class Row(NamedTuple):
    """All that is known about one recipient."""

    recipient_id: str
    campaign_id: str
    account_id: str
    person_id: str
    number: str | None = None
    listed: Listed | None = None
    pressed: Pressed | None = None
    released_at: datetime | None = None
    dropped: Dropped | None = None
    suppressed: Suppressed | None = None
    attempt: Attempt | None = None
    receipt: Receipt | None = None


RecipientEvent = (
    e.RecipientAdded
    | e.RecipientProcessed
    | e.MessageReleased
    | e.MessageDropped
    | e.MessageSuppressed
    | e.SendAttempted
    | e.SendNotAccepted
    | e.MessageAccepted
    | e.MessageRejected
    | e.MessageUnresolved
    | e.MessageDelivered
    | e.MessageNotDelivered
    | e.MessageUnconfirmed
)

ATTEMPTED, UNKNOWN, NOT_ACCEPTED, REJECTED, ACCEPTED = "attempted", "unknown", "not_accepted", "rejected", "accepted"
OUTCOME_RANK = {outcome: rank for rank, outcome in enumerate((ATTEMPTED, UNKNOWN, NOT_ACCEPTED, REJECTED, ACCEPTED))}
RECEIPT_RANK = {str(verdict): rank for rank, verdict in enumerate((State.UNCONFIRMED, State.FAILED, State.DELIVERED))}
SENT_STATE = {
    ATTEMPTED: State.AWAITING,
    ACCEPTED: State.AWAITING,
    UNKNOWN: State.UNKNOWN,
    REJECTED: State.FAILED,
}


def project(row: Row, event: RecipientEvent) -> Row:
    """The row, with what the event adds to it. The event must be about the row's recipient."""
    return _FOLDS[type(event)](row, event)


def fold(row: Row, events: Iterable[RecipientEvent]) -> Row:
    """The row after all of these events."""
    for event in events:
        row = project(row, event)
    return row


def new_row(event: RecipientEvent) -> Row:
    """A row that knows whom it is about, and nothing else."""
    return Row(event.recipient_id, event.campaign_id, event.account_id, event.person_id)


def leaf(row: Row) -> tuple[str, str | None]:
    """The state the row is counted in, and the reason code where there is one. What was sent outweighs the rest."""
    attempt, receipt = row.attempt, row.receipt
    if receipt and attempt and (receipt.verdict == State.DELIVERED or receipt.attempt == attempt.number):
        return receipt.verdict, receipt.reason
    if attempt and attempt.outcome != NOT_ACCEPTED:
        return SENT_STATE[attempt.outcome], attempt.reason
    if row.suppressed:
        return State.SUPPRESSED, row.suppressed.reason
    if row.dropped:
        return State.DROPPED, row.dropped.reason
    if attempt:
        return State.WAITING, attempt.reason
    return (State.WAITING if row.pressed or row.released_at else State.UNPROCESSED), None


# --- one fold per event ----------------------------------------------------------------------------------


def _added(row: Row, event: e.RecipientAdded) -> Row:
    if row.listed:
        return row
    # Before cells were sealed they stood in `columns`.
    cells = event.cells or storable_json(event.columns.values())
    listed = Listed(event.position, headers(tuple(event.columns)), cells, event.occurred_at)
    return row._replace(listed=listed, number=event.number)


def _processed(row: Row, event: e.RecipientProcessed) -> Row:
    pressed = Pressed(event.processed_at, event.processed_by, event.due_at)
    return row._replace(pressed=pressed, number=_number(row, event.number))


def _released(row: Row, event: e.MessageReleased) -> Row:
    return row._replace(released_at=event.due_at, number=_number(row, event.number))


def _dropped(row: Row, event: e.MessageDropped) -> Row:
    return row._replace(dropped=Dropped(event.occurred_at, event.reason))


def _suppressed(row: Row, event: e.MessageSuppressed) -> Row:
    return row._replace(suppressed=Suppressed(event.occurred_at, event.reason, event.opted_out_at))


def _attempted(row: Row, event: e.SendAttempted) -> Row:
    attempt = _at_least(row.attempt, event.attempt, ATTEMPTED)
    return row._replace(attempt=attempt._replace(sent_at=event.occurred_at)) if attempt.number == event.attempt else row


def _accepted(row: Row, event: e.MessageAccepted) -> Row:
    attempt = _at_least(row.attempt, event.attempt, ACCEPTED)
    if attempt.number != event.attempt:
        return row
    return row._replace(
        attempt=attempt._replace(
            accepted_at=event.occurred_at, carrier_message_id=event.carrier_message_id, segments=event.segments
        )
    )


def _not_accepted(row: Row, event: e.SendNotAccepted) -> Row:
    return _told(row, event, NOT_ACCEPTED)


def _rejected(row: Row, event: e.MessageRejected) -> Row:
    return _told(row, event, REJECTED, event.carrier_message_id)


def _unresolved(row: Row, event: e.MessageUnresolved) -> Row:
    return _told(row, event, UNKNOWN)


def _delivered(row: Row, event: e.MessageDelivered) -> Row:
    return _receipt(row, Receipt(event.attempt, State.DELIVERED, event.occurred_at, event.carrier_code, None))


def _not_delivered(row: Row, event: e.MessageNotDelivered) -> Row:
    return _receipt(row, Receipt(event.attempt, State.FAILED, event.occurred_at, event.carrier_code, event.reason))


def _unconfirmed(row: Row, event: e.MessageUnconfirmed) -> Row:
    return _receipt(row, Receipt(event.attempt, State.UNCONFIRMED, event.occurred_at, None, event.reason))


_FOLDS: dict[type[Event], Callable[[Row, Any], Row]] = {
    e.RecipientAdded: _added,
    e.RecipientProcessed: _processed,
    e.MessageReleased: _released,
    e.MessageDropped: _dropped,
    e.MessageSuppressed: _suppressed,
    e.SendAttempted: _attempted,
    e.SendNotAccepted: _not_accepted,
    e.MessageAccepted: _accepted,
    e.MessageRejected: _rejected,
    e.MessageUnresolved: _unresolved,
    e.MessageDelivered: _delivered,
    e.MessageNotDelivered: _not_delivered,
    e.MessageUnconfirmed: _unconfirmed,
}


# --- how facts join --------------------------------------------------------------------------------------


def _number(row: Row, said: str) -> str:
    """The list's number; until it is here any that was said, but the same one whatever came first: each was sealed by
    itself, so that the same number is other bytes."""
    return row.number if row.number is not None and (row.listed or row.number <= said) else said


def _at_least(known: Attempt | None, number: int, outcome: str) -> Attempt:
    """What is known, once this attempt is heard to have come as far as `outcome`."""
    if known is None or number > known.number:
        return Attempt(number, outcome)
    if number < known.number or OUTCOME_RANK[outcome] <= OUTCOME_RANK[known.outcome]:
        return known
    return Attempt(number, outcome, known.sent_at)


def _told(
    row: Row, event: e.SendNotAccepted | e.MessageRejected | e.MessageUnresolved, outcome: str, id_: str | None = None
) -> Row:
    attempt = _at_least(row.attempt, event.attempt, outcome)
    if (attempt.number, attempt.outcome) != (event.attempt, outcome):
        return row
    told = attempt._replace(
        carrier_message_id=id_, carrier_code=event.carrier_code, reason=event.reason, outcome_at=event.occurred_at
    )
    return row._replace(attempt=told)


def _receipt(row: Row, receipt: Receipt) -> Row:
    attempt = _at_least(row.attempt, receipt.attempt, ACCEPTED)
    stronger = row.receipt is None or _strength(receipt) > _strength(row.receipt)
    return row._replace(attempt=attempt, receipt=receipt if stronger else row.receipt)


def _strength(receipt: Receipt) -> tuple[bool, int, int]:
    return receipt.verdict == State.DELIVERED, receipt.attempt, RECEIPT_RANK[receipt.verdict]
