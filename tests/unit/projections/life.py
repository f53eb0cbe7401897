"""Events of one recipient, as the services write them: ids that follow from what happened, times that go on."""

import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from kernel.seal import CELLS, EVIDENCE, NUMBER, Key, text_of

from schemas import events as e
from schemas.identity import event_id, recipient_id, uuid5
from schemas.reasons import (
    DropReason,
    FailureReason,
    NotAcceptedReason,
    SuppressReason,
    UnconfirmedReason,
    UnresolvedReason,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
WORLD = "0f4d5a52-6f2c-5a5e-9a3e-0c6c2f1f6d10"
MINUTE = timedelta(minutes=1)


def secret_of(person_id: str) -> bytes:
    return hashlib.sha256(person_id.encode()).digest()


def key_of_person(person_id: str) -> Key:
    return Key(secret_of(person_id))


@cache
def sealed_once(person_id: str, what: str, text: str) -> str:
    """As send-intake does it: every event that tells a number has the same bytes, whichever is read first."""
    return key_of_person(person_id).seal(what, text)


@dataclass
class Life:
    """One recipient of one campaign. Every method makes one event; the same call makes the same event."""

    campaign: str = "spring"
    number: str = "+12025550123"
    account: str = "acme"
    position: int = 1
    columns: dict[str, str] = field(default_factory=lambda: {"First Name": "Ada", "last_name": "Byron", "City": "Bath"})
    sealed: bool = False  # else as version 0.1.0 wrote it

    @property
    def key(self) -> Key:
        """The person's: it follows from who they are, so that whoever needs it can make it."""
        return key_of_person(self.person_id)

    def _seal(self, what: str, text: str) -> str:
        return sealed_once(self.person_id, what, text) if self.sealed else text

    @property
    def account_id(self) -> str:
        return uuid5(WORLD, self.account)

    @property
    def campaign_id(self) -> str:
        return uuid5(self.account_id, self.campaign)

    @property
    def recipient_id(self) -> str:
        return recipient_id(self.campaign_id, self.number)

    @property
    def person_id(self) -> str:
        return uuid5(self.account_id, self.number)

    def _about(self, event: str, minutes: float, actor: str, ordinal: int | None = None) -> dict[str, Any]:
        return {
            "event_id": event_id(self.recipient_id, event, ordinal),
            "account_id": self.account_id,
            "campaign_id": self.campaign_id,
            "recipient_id": self.recipient_id,
            "person_id": self.person_id,
            "occurred_at": NOON + minutes * MINUTE,
            "actor": actor,
            "caused_by": None,
        }

    def _of_attempt(self, event: str, n: int, minutes: float) -> dict[str, Any]:
        return {**self._about(event, 10 * n + minutes, "dispatcher", n), "attempt": n, "provider": "twilio"}

    def created(self, scheduled_for: datetime | None = None) -> e.CampaignCreated:
        return e.CampaignCreated(
            event_id=event_id(self.campaign_id, "CampaignCreated"), account_id=self.account_id,
            campaign_id=self.campaign_id, occurred_at=NOON - 9 * MINUTE, actor="mia", caused_by=None,
            name=self.campaign, text="Hello {first_name}", scheduled_for=scheduled_for, sender="+12025550100",
        )  # fmt: skip

    def ended(self) -> e.CampaignEnded:
        return e.CampaignEnded(
            event_id=event_id(self.campaign_id, "CampaignEnded"), account_id=self.account_id,
            campaign_id=self.campaign_id, occurred_at=NOON + 5 * MINUTE, actor="mia", caused_by=None,
            ended_at=NOON + 5 * MINUTE, ended_by="mia", scheduled_for=None,
        )  # fmt: skip

    def added(self) -> e.RecipientAdded:
        about = self._about("RecipientAdded", -5, "mia")
        columns, cells = self.columns, ""
        if self.sealed:
            columns, cells = dict.fromkeys(columns, ""), self._seal(CELLS, json.dumps(list(columns.values())))
        number = self._seal(NUMBER, self.number)
        return e.RecipientAdded(**about, position=self.position, number=number, columns=columns, cells=cells)

    def processed(self) -> e.RecipientProcessed:
        return e.RecipientProcessed(
            **self._about("RecipientProcessed", 0, "sam"), processed_at=NOON, processed_by="sam", due_at=NOON,
            scheduled_for=None, number=self._seal(NUMBER, self.number),
            text=self._seal(text_of(self.recipient_id), "Hello Ada"), sender="+12025550100",
        )  # fmt: skip

    def released(self) -> e.MessageReleased:
        return e.MessageReleased(
            **self._about("MessageReleased", 0, "scheduler"), due_at=NOON,
            scheduled_for=None, number=self._seal(NUMBER, self.number),
            text=self._seal(text_of(self.recipient_id), "Hello Ada"), sender="+12025550100",
        )  # fmt: skip

    def dropped(self) -> e.MessageDropped:
        return e.MessageDropped(
            **self._about("MessageDropped", 5, "scheduler"), due_at=NOON + 9 * MINUTE,
            scheduled_for=NOON + 9 * MINUTE, reason=DropReason.CAMPAIGN_ENDED,
        )  # fmt: skip

    def suppressed(self) -> e.MessageSuppressed:
        return e.MessageSuppressed(
            **self._about("MessageSuppressed", 6, "dispatcher"), reason=SuppressReason.OPTED_OUT,
            opted_out_at=NOON - MINUTE, opt_out_event_id=None,
        )  # fmt: skip

    def attempted(self, n: int = 1) -> e.SendAttempted:
        return e.SendAttempted(**self._of_attempt("SendAttempted", n, 0))

    def not_accepted(self, n: int = 1) -> e.SendNotAccepted:
        about = self._of_attempt("SendNotAccepted", n, 2)
        return e.SendNotAccepted(**about, carrier_code="20429", reason=NotAcceptedReason.THROTTLED)

    def accepted(self, n: int = 1) -> e.MessageAccepted:
        return e.MessageAccepted(**self._of_attempt("MessageAccepted", n, 2), carrier_message_id=f"SM{n}", segments=1)

    def rejected(self, n: int = 1) -> e.MessageRejected:
        about = self._of_attempt("MessageRejected", n, 2)
        return e.MessageRejected(
            **about, carrier_message_id=None, carrier_code="21211", reason=FailureReason.INVALID_NUMBER
        )

    def unresolved(self, n: int = 1) -> e.MessageUnresolved:
        about = self._of_attempt("MessageUnresolved", n, 1)
        return e.MessageUnresolved(**about, carrier_code="500", reason=UnresolvedReason.CARRIER_ERROR)

    def delivered(self, n: int = 1) -> e.MessageDelivered:
        about = self._of_attempt("MessageDelivered", n, 5)
        return e.MessageDelivered(**about, carrier_message_id=f"SM{n}", carrier_code=None)

    def not_delivered(self, n: int = 1) -> e.MessageNotDelivered:
        about = self._of_attempt("MessageNotDelivered", n, 4)
        return e.MessageNotDelivered(
            **about, carrier_message_id=f"SM{n}", carrier_code="30006", reason=FailureReason.LANDLINE
        )

    def unconfirmed(self, n: int = 1) -> e.MessageUnconfirmed:
        about = self._of_attempt("MessageUnconfirmed", n, 3)
        return e.MessageUnconfirmed(**about, carrier_message_id=f"SM{n}", reason=UnconfirmedReason.NO_RECEIPT)

    def opted_out(self, minutes: float = -1) -> e.PersonOptedOut:
        return e.PersonOptedOut(**self._of_person("PersonOptedOut", minutes))

    def erased(self, minutes: float = 40) -> e.PersonErased:
        about = self._about("PersonErased", minutes, "mia")
        del about["campaign_id"], about["recipient_id"]
        return e.PersonErased(**about, key_id=self.key.key_id.hex())

    def opted_in(self, minutes: float = 1) -> e.PersonOptedIn:
        return e.PersonOptedIn(**self._of_person("PersonOptedIn", minutes))

    def _of_person(self, event: str, minutes: float) -> dict[str, Any]:
        about = self._about(event, minutes, "dispatcher")
        del about["campaign_id"], about["recipient_id"]
        about["event_id"] = event_id(self.person_id, f"{event}:{minutes}")
        return {
            **about,
            "number": self._seal(NUMBER, self.number),
            "source": "reply",
            "evidence": self._seal(EVIDENCE, "STOP"),
        }

    def all_about_it(self, attempts: int = 2) -> list[Any]:
        """Everything that could ever be said about the recipient, also what contradicts the rest."""
        once = [self.added(), self.processed(), self.released(), self.dropped(), self.suppressed()]
        each = (self.attempted, self.not_accepted, self.accepted, self.rejected, self.unresolved,
                self.delivered, self.not_delivered, self.unconfirmed)  # fmt: skip
        return once + [make(n) for n in range(1, attempts + 1) for make in each]
