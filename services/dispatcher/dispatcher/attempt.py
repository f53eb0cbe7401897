"""The life of an attempt: which evidence moves it, which facts that makes, and what it was, told by its facts.

open ─┬─► accepted ─┬─► delivered (final)          unknown is left by proof only: an answer that came after all,
      ├─► rejected  ├─► failed ──► delivered       a receipt, or an operator.
      ├─► refused   └─► unconfirmed ─► either      refused is "known not accepted": the message waits again.
      └─► unknown ──► accepted, rejected, refused
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from dispatcher.outcome import Accepted, NotAccepted, Outcome, Rejected, Unknown
from dispatcher.provider import TWILIO
from dispatcher.receipt import Delivered, NotDelivered, Receipt
from schemas import events as e
from schemas.events import Event
from schemas.identity import event_id
from schemas.reasons import NotAcceptedReason, UnconfirmedReason

SERVICE = "dispatcher"


class State(StrEnum):
    """Where an attempt stands."""

    OPEN = "open"
    UNKNOWN = "unknown"
    REFUSED = "refused"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    DELIVERED = "delivered"
    FAILED = "failed"
    UNCONFIRMED = "unconfirmed"


@dataclass(frozen=True, slots=True)
class NoReceipt:
    """The time in which a receipt could be hoped for is over."""


@dataclass(frozen=True, slots=True)
class NeverPosted:
    """Its owner knows that there was no POST, so far as nothing else has been recorded."""


Known = Outcome | Receipt | NoReceipt  # each has a fact of its own
Evidence = Known | NeverPosted

EXPIRED = NotAccepted(NotAcceptedReason.INTENT_EXPIRED)
UNDECIDED = (State.OPEN, State.UNKNOWN)
MOVES: dict[type[Evidence], tuple[State, tuple[State, ...]]] = {
    Accepted: (State.ACCEPTED, UNDECIDED),
    Rejected: (State.REJECTED, UNDECIDED),
    NotAccepted: (State.REFUSED, UNDECIDED),
    Unknown: (State.UNKNOWN, (State.OPEN,)),
    Delivered: (State.DELIVERED, (*UNDECIDED, State.ACCEPTED, State.FAILED, State.UNCONFIRMED)),
    NotDelivered: (State.FAILED, (*UNDECIDED, State.ACCEPTED, State.UNCONFIRMED)),
    NoReceipt: (State.UNCONFIRMED, (State.ACCEPTED,)),
    NeverPosted: (State.REFUSED, (State.OPEN,)),
}


@dataclass(slots=True)
class Attempt:
    """One attempt as it stands; `apply` is the only way it changes."""

    recipient_id: str
    attempt: int
    account_id: str
    campaign_id: str
    person_id: str
    state: State
    provider: str = TWILIO
    carrier_message_id: str | None = None
    carrier_code: str | None = None
    reason: str | None = None
    accepted_at: datetime | None = None
    unresolved_at: datetime | None = None
    changed: bool = field(default=False)

    def apply(self, evidence: Evidence, at: datetime, actor: str = SERVICE) -> Iterator[Event]:
        """The facts that follow, in order; none when the evidence is weaker than what is known, or known already."""
        if not self.takes(evidence):
            return
        if isinstance(evidence, Delivered | NotDelivered) and self.state in UNDECIDED:
            yield from self.apply(Accepted(evidence.carrier_message_id), at, actor)
        known = EXPIRED if isinstance(evidence, NeverPosted) else evidence
        self.move(known, at)
        yield self._fact(known, at, actor)

    def takes(self, evidence: Evidence) -> bool:
        """Whether the evidence says more than is known."""
        return self.state in MOVES[type(evidence)][1]

    def move(self, known: Known, at: datetime) -> None:
        """What was taken moves it; its fact tells as much."""
        self.state, self.changed = MOVES[type(known)][0], True
        self.carrier_code, self.reason = getattr(known, "carrier_code", None), getattr(known, "reason", None)
        if isinstance(known, Accepted):
            self.carrier_message_id, self.accepted_at = known.carrier_message_id, at
        if isinstance(known, Unknown):
            self.unresolved_at = at

    def _fact(self, evidence: Known, at: datetime, actor: str) -> Event:
        rid, n = self.recipient_id, self.attempt
        about: dict[str, Any] = {
            "account_id": self.account_id,
            "campaign_id": self.campaign_id,
            "recipient_id": rid,
            "person_id": self.person_id,
            "occurred_at": at,
            "actor": actor,
            "caused_by": event_id(rid, "SendAttempted", n),
            "attempt": n,
            "provider": self.provider,
        }
        match evidence:
            case Accepted(carrier_id, segments):
                id_ = event_id(rid, "MessageAccepted", n)
                return e.MessageAccepted(event_id=id_, carrier_message_id=carrier_id, segments=segments, **about)
            case Rejected(why, code):
                id_, about["carrier_message_id"] = event_id(rid, "MessageRejected", n), None
                return e.MessageRejected(event_id=id_, carrier_code=code, reason=why, **about)
            case NotAccepted(why_not, code):
                id_ = event_id(rid, "SendNotAccepted", n)
                return e.SendNotAccepted(event_id=id_, carrier_code=code, reason=why_not, **about)
            case Unknown(seen, code):
                id_ = event_id(rid, "MessageUnresolved", n)
                return e.MessageUnresolved(event_id=id_, carrier_code=code, reason=seen, **about)
        about["carrier_message_id"] = self.carrier_message_id
        match evidence:
            case Delivered(_, code):
                return e.MessageDelivered(event_id=event_id(rid, "MessageDelivered", n), carrier_code=code, **about)
            case NotDelivered(_, code, why):
                id_ = event_id(rid, "MessageNotDelivered", n)
                return e.MessageNotDelivered(event_id=id_, carrier_code=code, reason=why, **about)
            case NoReceipt():
                id_, why_none = event_id(rid, "MessageUnconfirmed", n), UnconfirmedReason.NO_RECEIPT
                return e.MessageUnconfirmed(event_id=id_, reason=why_none, **about)
