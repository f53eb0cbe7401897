"""A campaign's figures and recipients, from its events: the fold that Progress and the report come from."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from projections import figures
from projections.changes import Change, changes
from projections.progress import Row, State, leaf, new_row
from projections.progress import fold as folded

from schemas.events import CampaignCreated, CampaignEnded, Event

SENT = (State.DELIVERED, State.FAILED, State.AWAITING, State.UNCONFIRMED, State.UNKNOWN)


def rows(recipients: Iterable[list[Any]]) -> Iterator[Row]:
    """The row of each recipient from all of their events."""
    for events in recipients:
        yield folded(new_row(events[0]), events)


class Counted:
    """Rows passed on, and counted on the way."""

    def __init__(self, campaign_id: str) -> None:
        self._campaign_id = campaign_id
        self._change = Change("")

    def through(self, found: Iterable[Row]) -> Iterator[dict[str, Any]]:
        """Each row as the archive tells it. A row of another campaign is told, and not counted."""
        for row in found:
            change = changes([(None, row, 0)]).get(self._campaign_id)
            if change is not None:
                self._change.leaves.update(change.leaves)
                self._change.failed_by_reason.update(change.failed_by_reason)
            yield recipient(row)

    def figures(self, campaign: Iterable[Event], as_of: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
        """The numbers of Progress under the same keys. `campaign` are the events of the campaign itself."""
        events = list(campaign)
        created = next((event for event in events if isinstance(event, CampaignCreated)), None)
        ended = min((event.ended_at for event in events if isinstance(event, CampaignEnded)), default=None)
        return {
            "campaign_id": self._campaign_id,
            "name": created and created.name,
            "state": "completed" if ended else "current",
            "scheduled_for": created and created.scheduled_for,
            "ended_at": ended,
            **figures.numbers(self._change.leaves),
            "failed_by_reason": {str(reason): n for reason, n in sorted(self._change.failed_by_reason.items())},
            "as_of": as_of,
        }


def recipient(row: Row) -> dict[str, Any]:
    """A recipient as the report tells them, without what is personal."""
    state, reason = leaf(row)
    sent, attempt, receipt = state in SENT, row.attempt, row.receipt
    pressed, suppressed = row.pressed, row.suppressed
    of_receipt = receipt.carrier_code if receipt and attempt and receipt.attempt == attempt.number else None
    return {
        "recipient_id": row.recipient_id,
        "person_id": row.person_id,
        "position": row.listed and row.listed.position,
        "state": state,
        "reason_code": reason,
        "processed_at": pressed and pressed.processed_at,
        "processed_by": pressed and pressed.processed_by,
        "due_at": pressed and pressed.due_at,
        "released_at": row.released_at,
        "sent_at": attempt.sent_at if sent and attempt else None,
        "accepted_at": attempt.accepted_at if sent and attempt else None,
        "delivered_at": receipt.at if receipt and state == State.DELIVERED else None,
        "carrier_code": of_receipt or (attempt.carrier_code if attempt else None),
        "carrier_message_id": attempt.carrier_message_id if sent and attempt else None,
        "segments": attempt.segments if sent and attempt else None,
        "opted_out_at": suppressed and suppressed.opted_out_at,
    }
