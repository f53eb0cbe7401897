"""The carrier's status callbacks in our words."""

from collections.abc import Mapping
from dataclasses import dataclass

from dispatcher.outcome import LONGEST_ID, Accepted
from dispatcher.reasons import reason_of
from schemas.reasons import FailureReason


@dataclass(frozen=True, slots=True)
class Delivered:
    """It reached the phone. Final."""

    carrier_message_id: str
    carrier_code: str | None


@dataclass(frozen=True, slots=True)
class NotDelivered:
    """It did not reach the phone; it may yet."""

    carrier_message_id: str
    carrier_code: str | None
    reason: FailureReason


Receipt = Accepted | Delivered | NotDelivered

TAKEN = frozenset({"accepted", "scheduled", "queued", "sending", "sent"})
ARRIVED = frozenset({"delivered", "read"})
LOST = frozenset({"undelivered", "failed", "canceled"})


class Unreadable(ValueError):
    """The form lacks what every status callback has."""


def read(form: Mapping[str, str]) -> Receipt | None:
    """What the callback proves; None for a status we do not know. Raises Unreadable."""
    sid, status = form.get("MessageSid", ""), form.get("MessageStatus", "").lower()
    if not 0 < len(sid) <= LONGEST_ID or not sid.isprintable() or not status:
        raise Unreadable("MessageSid or MessageStatus is missing or absurd.")
    given = form.get("ErrorCode", "")
    code = given if given.isalnum() and given.isascii() and len(given) <= LONGEST_ID else None
    if status in TAKEN:
        return Accepted(sid)
    if status in ARRIVED:
        return Delivered(sid, code)
    if status in LOST:
        return NotDelivered(sid, code, reason_of(code))
    return None
