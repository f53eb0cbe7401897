"""A campaign as it was: the facts that had happened by a time, folded as ever, and told as the API tells them."""

from collections import Counter
from datetime import datetime
from typing import Any, cast, get_args

from projections.figures import numbers
from projections.people import Person
from projections.progress import RecipientEvent, Row, State, leaf, new_row, project
from projections.report import COLUMNS, words
from projections.storable import storable
from projections.wait import Waiting, waits_for
from schemas import events as e
from schemas.events import Event

OF_RECIPIENTS = frozenset(get_args(RecipientEvent))
SENT = frozenset((State.DELIVERED, State.FAILED, State.AWAITING, State.UNCONFIRMED, State.UNKNOWN))


class Then:
    """What is known of one campaign by `at`. Events may come in any order, and repeatedly."""

    def __init__(self, campaign_id: str, at: datetime) -> None:
        self.campaign_id, self.at = campaign_id, at
        self.account_id: str | None = None
        self.rows: dict[str, Row] = {}
        self._created: e.CampaignCreated | None = None
        self._ended: e.CampaignEnded | None = None
        self._opted: dict[str, tuple[datetime, str, bool]] = {}  # person -> the latest word: when, its id, out or in

    @property
    def known(self) -> bool:
        return self.account_id is not None

    def add(self, event: Event) -> None:
        """Events of other campaigns are passed over; whether it had happened by then is the caller's to say."""
        if isinstance(event, e.PersonOptedOut | e.PersonOptedIn):
            word = (event.occurred_at, event.event_id, isinstance(event, e.PersonOptedOut))
            self._opted[event.person_id] = max(word, self._opted.get(event.person_id, word))
        elif getattr(event, "campaign_id", None) == self.campaign_id:
            self._add(event)

    def _add(self, event: Any) -> None:
        self.account_id = self.account_id or event.account_id
        if isinstance(event, e.CampaignCreated):
            self._created = self._created or event
        elif isinstance(event, e.CampaignEnded):
            self._ended = self._ended or event
        elif type(event) in OF_RECIPIENTS:
            about = cast(RecipientEvent, event)
            self.rows[about.recipient_id] = project(self.rows.get(about.recipient_id) or new_row(about), about)

    def progress(self, as_of: dict[str, dict[str, int]]) -> dict[str, Any]:
        """The keys of `GET …/progress`. The clock of then is not kept: it is never blamed."""
        leaves, reasons = Counter[str](), Counter[str]()
        for row in self.rows.values():
            state, reason = leaf(row)
            leaves[state] += 1
            if state == State.FAILED:
                reasons[reason or "unknown"] += 1
        scheduled_for = self._created.scheduled_for if self._created else None
        ended_at = self._ended.ended_at if self._ended else None
        return {
            "campaign_id": self.campaign_id,
            "name": storable(self._created.name) if self._created else None,
            "state": "completed" if ended_at else "current",
            "scheduled_for": scheduled_for,
            "ended_at": ended_at,
            **numbers(leaves),
            "waits_for": waits_for(Waiting(leaves[State.WAITING], scheduled_for, ended_at), self.at, None),
            "failed_by_reason": dict(sorted(reasons.items())),
            "as_of": as_of,
        }

    def recipient(self, recipient_id: str, person: Person) -> dict[str, Any]:
        """The keys of `GET …/recipients/{rid}`: what the view `described` says of the row, and the person's own."""
        row = self.rows[recipient_id]
        known = {**_described(row), "phone": person.phone, "first_name": person.first_name}
        known |= {"last_name": person.last_name, "opted_out_at": self._opted_out_at(row)}
        return {**{name: known[name] for name in COLUMNS}, "columns": person.cells}

    def _opted_out_at(self, row: Row) -> datetime | None:
        if row.suppressed and row.suppressed.opted_out_at:
            return row.suppressed.opted_out_at
        at, _, out = self._opted.get(row.person_id, (None, "", False))
        return at if out else None


def _described(row: Row) -> dict[str, Any]:
    state, reason_code = leaf(row)
    sent, attempt, receipt, pressed = state in SENT, row.attempt, row.receipt, row.pressed
    why = words(state, reason_code)
    of_attempt = receipt.carrier_code if receipt and attempt and receipt.attempt == attempt.number else None
    return {
        "recipient_id": row.recipient_id,
        "state": str(state),
        "delivery": "delivered" if state == State.DELIVERED else "not delivered" if sent else "",
        "reason_code": reason_code,
        "reason": why.reason,
        "advice": why.advice,
        "processed_at": pressed and pressed.processed_at,
        "processed_by": pressed and pressed.processed_by,
        "due_at": pressed and pressed.due_at,
        "released_at": row.released_at,
        "sent_at": attempt.sent_at if sent and attempt else None,
        "accepted_at": attempt.accepted_at if sent and attempt else None,
        "delivered_at": receipt.at if state == State.DELIVERED and receipt else None,
        "carrier_code": of_attempt or (attempt.carrier_code if attempt else None),
        "carrier_message_id": attempt.carrier_message_id if sent and attempt else None,
        "segments": attempt.segments if sent and attempt else None,
    }
