"""What a receipt says, whichever carrier it came from."""

from dataclasses import dataclass

from dispatcher.outcome import Accepted
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
