"""The lives of attempts, told once more from their facts by the rules that made them."""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from itertools import groupby
from typing import NamedTuple

from dispatcher.attempt import Attempt, Known, NoReceipt, State
from dispatcher.outcome import Accepted, NotAccepted, Rejected, Unknown
from dispatcher.provider import TWILIO
from dispatcher.receipt import Delivered, NotDelivered
from schemas import events as e
from schemas.reasons import FailureReason, NotAcceptedReason, UnresolvedReason

AttemptEvent = (
    e.SendAttempted
    | e.MessageAccepted
    | e.MessageRejected
    | e.SendNotAccepted
    | e.MessageUnresolved
    | e.MessageDelivered
    | e.MessageNotDelivered
    | e.MessageUnconfirmed
)
UNSAID = "unknown"
NOBODY = ""  # whose an attempt is, is no part of its life


class Fact(NamedTuple):
    """What an event says of an attempt; `kind` is its type's name."""

    recipient_id: str
    attempt: int
    kind: str
    at: datetime
    carrier_message_id: str | None
    carrier_code: str | None
    reason: str | None
    provider: str = TWILIO

    @property
    def key(self) -> tuple[str, int]:
        return self.recipient_id, self.attempt


def fact_of(event: AttemptEvent) -> Fact:
    return Fact(
        event.recipient_id,
        event.attempt,
        type(event).__name__,
        event.occurred_at,
        getattr(event, "carrier_message_id", None),
        getattr(event, "carrier_code", None),
        getattr(event, "reason", None),
        event.provider,
    )


KNOWN: dict[str, Callable[[Fact], Known]] = {
    "MessageAccepted": lambda fact: Accepted(fact.carrier_message_id or ""),
    "MessageRejected": lambda fact: Rejected(FailureReason(fact.reason or UNSAID), fact.carrier_code),
    "SendNotAccepted": lambda fact: NotAccepted(NotAcceptedReason(fact.reason or UNSAID), fact.carrier_code),
    "MessageUnresolved": lambda fact: Unknown(UnresolvedReason(fact.reason or UNSAID), fact.carrier_code),
    "MessageDelivered": lambda fact: Delivered(fact.carrier_message_id or "", fact.carrier_code),
    "MessageNotDelivered": lambda fact: NotDelivered(
        fact.carrier_message_id or "", fact.carrier_code, FailureReason(fact.reason or UNSAID)
    ),
    "MessageUnconfirmed": lambda _: NoReceipt(),
}


def retold(facts: Iterable[Fact]) -> Iterator[tuple[datetime, Attempt]]:
    """When each attempt was made, and where it stands; one without its SendAttempted is left out.

    Facts come by attempt, and those of an attempt in the order they happened, some perhaps repeated. `receipts` come
    after `dispatches`: a receipt never meets an attempt that is not decided, and none is decided after one.
    """
    for (recipient_id, number), life in groupby(facts, key=lambda fact: fact.key):
        first = next(life)
        if first.kind == e.SendAttempted.__name__:
            attempt = Attempt(recipient_id, number, NOBODY, NOBODY, NOBODY, State.OPEN, first.provider)
            for fact in life:
                _tell(attempt, fact)
            yield first.at, attempt


def _tell(attempt: Attempt, fact: Fact) -> None:
    if fact.kind not in KNOWN:  # it was attempted, once more
        return
    known = KNOWN[fact.kind](fact)
    if attempt.state == State.REFUSED and isinstance(known, Accepted):
        attempt.state = State.UNKNOWN  # an operator had said it was not; `store_attempts` took it off the queue again
    if attempt.takes(known):
        attempt.move(known, fact.at)
