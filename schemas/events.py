"""Every event of the log, one frozen dataclass for each `.avsc`; a test holds the two together.

Ids are lower-case UUID text, times aware UTC datetimes to the microsecond, numbers E.164.
What a field means stands in its schema: `schemas/<topic>/<Event>.avsc`, which is the latest version.
What is marked as personal there (number, text, cells, evidence) is sealed text here.
"""

from dataclasses import dataclass
from datetime import datetime

from schemas.reasons import (
    DropReason,
    FailureReason,
    NotAcceptedReason,
    OptOutSource,
    SuppressReason,
    UnconfirmedReason,
    UnresolvedReason,
)

# --- campaigns -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignCreated:
    """A manager created a campaign."""

    event_id: str
    account_id: str
    campaign_id: str
    occurred_at: datetime
    actor: str
    caused_by: str | None
    name: str
    text: str
    scheduled_for: datetime | None
    sender: str
    senders: tuple[str, ...] = ()
    useful_until: datetime | None = None
    time_zone: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignEnded:
    """A manager typed END and confirmed. Every SEND of the campaign is wholly before or wholly after it."""

    event_id: str
    account_id: str
    campaign_id: str
    occurred_at: datetime
    actor: str
    caused_by: str | None
    ended_at: datetime
    ended_by: str
    scheduled_for: datetime | None


# --- recipients ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipientAdded:
    """A row of a list became a recipient."""

    event_id: str
    account_id: str
    campaign_id: str
    recipient_id: str
    person_id: str
    occurred_at: datetime
    actor: str
    caused_by: str | None
    position: int
    number: str
    columns: dict[str, str]
    cells: str = ""


# --- processed -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipientProcessed:
    """A user pressed SEND on the recipient. There is never a second."""

    event_id: str
    account_id: str
    campaign_id: str
    recipient_id: str
    person_id: str
    occurred_at: datetime
    actor: str
    caused_by: str | None
    processed_at: datetime
    processed_by: str
    due_at: datetime
    scheduled_for: datetime | None
    number: str
    text: str
    sender: str
    text_hash: str | None = None
    token_id: str | None = None
    client: str | None = None
    useful_until: datetime | None = None


# --- clock -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockAdvanced:
    """The watermark: every CampaignEnded with ended_at <= at lies in the campaigns topic before campaigns_offsets."""

    event_id: str
    occurred_at: datetime
    actor: str
    caused_by: str | None
    at: datetime
    campaigns_offsets: dict[str, int]


# --- releases --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageReleased:
    """The scheduler let the message go."""

    event_id: str
    account_id: str
    campaign_id: str
    recipient_id: str
    person_id: str
    occurred_at: datetime
    actor: str
    caused_by: str | None
    due_at: datetime
    scheduled_for: datetime | None
    number: str
    text: str
    sender: str
    useful_until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageDropped:
    """The campaign ended before T: nobody is texted."""

    event_id: str
    account_id: str
    campaign_id: str
    recipient_id: str
    person_id: str
    occurred_at: datetime
    actor: str
    caused_by: str | None
    due_at: datetime
    scheduled_for: datetime | None
    reason: DropReason


# --- dispatches ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageSuppressed:
    """Not sent: the person had opted out, was erased, or the time it was useful in was over."""

    event_id: str
    account_id: str
    campaign_id: str
    recipient_id: str
    person_id: str
    occurred_at: datetime
    actor: str
    caused_by: str | None
    reason: SuppressReason
    opted_out_at: datetime | None
    opt_out_event_id: str | None
    useful_until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SendAttempted:
    """The intent to call the carrier, committed before the first byte leaves."""

    event_id: str
    account_id: str
    campaign_id: str
    recipient_id: str
    person_id: str
    occurred_at: datetime
    actor: str
    caused_by: str | None
    attempt: int
    provider: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SendNotAccepted:
    """The carrier is known not to have taken this attempt: the message waits again."""

    event_id: str
    account_id: str
    campaign_id: str
    recipient_id: str
    person_id: str
    occurred_at: datetime
    actor: str
    caused_by: str | None
    attempt: int
    provider: str
    carrier_code: str | None
    reason: NotAcceptedReason


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageAccepted:
    """The carrier took the message."""

    event_id: str
    account_id: str
    campaign_id: str
    recipient_id: str
    person_id: str
    occurred_at: datetime
    actor: str
    caused_by: str | None
    attempt: int
    provider: str
    carrier_message_id: str
    segments: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageRejected:
    """The carrier refused the message for good."""

    event_id: str
    account_id: str
    campaign_id: str
    recipient_id: str
    person_id: str
    occurred_at: datetime
    actor: str
    caused_by: str | None
    attempt: int
    provider: str
    carrier_message_id: str | None
    carrier_code: str | None
    reason: FailureReason


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageUnresolved:
    """Nobody knows whether the carrier took this attempt. It is never sent again by the machine."""

    event_id: str
    account_id: str
    campaign_id: str
    recipient_id: str
    person_id: str
    occurred_at: datetime
    actor: str
    caused_by: str | None
    attempt: int
    provider: str
    carrier_code: str | None
    reason: UnresolvedReason


# --- receipts --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageDelivered:
    """The carrier's receipt: it reached the phone. Final."""

    event_id: str
    account_id: str
    campaign_id: str
    recipient_id: str
    person_id: str
    occurred_at: datetime
    actor: str
    caused_by: str | None
    attempt: int
    provider: str
    carrier_message_id: str | None
    carrier_code: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageNotDelivered:
    """The carrier's receipt: it did not reach the phone. May still become delivered."""

    event_id: str
    account_id: str
    campaign_id: str
    recipient_id: str
    person_id: str
    occurred_at: datetime
    actor: str
    caused_by: str | None
    attempt: int
    provider: str
    carrier_message_id: str | None
    carrier_code: str | None
    reason: FailureReason


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageUnconfirmed:
    """No receipt 72 h after acceptance."""

    event_id: str
    account_id: str
    campaign_id: str
    recipient_id: str
    person_id: str
    occurred_at: datetime
    actor: str
    caused_by: str | None
    attempt: int
    provider: str
    carrier_message_id: str | None
    reason: UnconfirmedReason


# --- opt-outs --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonOptedOut:
    """The person asked for no more texts from this account."""

    event_id: str
    account_id: str
    person_id: str
    occurred_at: datetime
    actor: str
    caused_by: str | None
    number: str
    source: OptOutSource
    evidence: str
    reply: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonOptedIn:
    """The opt-out was lifted."""

    event_id: str
    account_id: str
    person_id: str
    occurred_at: datetime
    actor: str
    caused_by: str | None
    number: str
    source: OptOutSource
    evidence: str
    reply: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonErased:
    """What is held of the person can be read no more: their key is about to be destroyed."""

    event_id: str
    account_id: str
    person_id: str
    occurred_at: datetime
    actor: str
    caused_by: str | None
    key_id: str


# --- access ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRevoked:
    """A token or a session was ended before its time; whoever verifies tokens refuses it from now on."""

    event_id: str
    account_id: str
    occurred_at: datetime
    actor: str
    caused_by: str | None
    token_id: str
    user_id: str
    expires_at: datetime


Event = (
    CampaignCreated
    | CampaignEnded
    | RecipientAdded
    | RecipientProcessed
    | ClockAdvanced
    | MessageReleased
    | MessageDropped
    | MessageSuppressed
    | SendAttempted
    | SendNotAccepted
    | MessageAccepted
    | MessageRejected
    | MessageUnresolved
    | MessageDelivered
    | MessageNotDelivered
    | MessageUnconfirmed
    | PersonOptedOut
    | PersonOptedIn
    | PersonErased
    | TokenRevoked
)
