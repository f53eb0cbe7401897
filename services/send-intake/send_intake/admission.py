"""What a press of SEND leads to, and the facts that creating, importing, pressing and ending become."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from schemas.events import CampaignCreated, CampaignEnded, RecipientAdded, RecipientProcessed
from schemas.identity import event_id
from send_intake.template import Template


@dataclass(frozen=True, slots=True)
class Campaign:
    """What never changes of a campaign."""

    campaign_id: str
    account_id: str
    template: Template
    scheduled_for: datetime | None
    senders: tuple[str, ...]  # one at least
    useful_until: datetime | None = None

    @property
    def sender(self) -> str:
        """The first of its numbers."""
        return self.senders[0]


@dataclass(frozen=True, slots=True)
class Hand:
    """Who presses, and how they came in: what proves a press."""

    user_id: str
    token_id: str | None = None
    client: str | None = None  # what they press in, as it names itself


@dataclass(frozen=True, slots=True)
class Press:
    """A user's press of SEND on a recipient of a campaign of their account."""

    recipient_id: str
    campaign: Campaign
    hand: Hand

    @property
    def user_id(self) -> str:
        return self.hand.user_id


@dataclass(frozen=True, slots=True)
class Sealed:
    """What a press needs of its recipient: the person, and sealed, their number and the text as they get it.

    `text` is empty and `text_hash` None when the person was erased: nothing can be read that could be sent.
    `first_sender` is the number they were first SENT a text from, None as far as nobody has.
    """

    person_id: str
    number: str
    text: str
    text_hash: str | None
    first_sender: str | None = None


class Refused(StrEnum):
    """Why a press changes nothing. The value is the stable code."""

    NOT_FOUND = "not_found"
    CAMPAIGN_ENDED = "campaign_ended"
    NOT_SENDING = "not_sending"
    KEY_MISSING = "try_again"


@dataclass(frozen=True, slots=True)
class Processed:
    """The answer to a press: the first press of the recipient, this one or an earlier one."""

    recipient_id: str
    processed_at: datetime
    processed_by: str
    due_at: datetime
    first: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """How matters stand for a recipient when a press has changed nothing."""

    processed: Processed | None
    ended: bool
    sending: bool


def refuse(standing: Standing | None) -> Processed | Refused:
    """Why the press changed nothing, in this order: unknown, already processed, ended, not sending."""
    if standing is None:
        return Refused.NOT_FOUND
    if standing.processed is not None:
        return standing.processed
    return Refused.CAMPAIGN_ENDED if standing.ended else Refused.NOT_SENDING


def processed_event(
    press: Press, sealed: Sealed, processed_at: datetime, due_at: datetime, sender: str
) -> RecipientProcessed:
    """The press as a fact, with the text as this person gets it, and from which number."""
    return RecipientProcessed(
        event_id=event_id(press.recipient_id, "RecipientProcessed"),
        account_id=press.campaign.account_id,
        campaign_id=press.campaign.campaign_id,
        recipient_id=press.recipient_id,
        person_id=sealed.person_id,
        occurred_at=processed_at,
        actor=press.user_id,
        caused_by=None,
        processed_at=processed_at,
        processed_by=press.user_id,
        due_at=due_at,
        scheduled_for=press.campaign.scheduled_for,
        number=sealed.number,
        text=sealed.text,
        sender=sender,
        text_hash=sealed.text_hash,
        token_id=press.hand.token_id,
        client=press.hand.client,
        useful_until=press.campaign.useful_until,
    )


def created_event(
    campaign_id: str,
    account_id: str,
    name: str,
    sealed_text: str,
    scheduled_for: datetime | None,
    senders: tuple[str, ...],
    useful_until: datetime | None,
    time_zone: str | None,
    *,
    user_id: str,
    at: datetime,
) -> CampaignCreated:
    return CampaignCreated(
        event_id=event_id(campaign_id, "CampaignCreated"),
        account_id=account_id,
        campaign_id=campaign_id,
        occurred_at=at,
        actor=user_id,
        caused_by=None,
        name=name,
        text=sealed_text,
        scheduled_for=scheduled_for,
        sender=senders[0],
        senders=senders,
        useful_until=useful_until,
        time_zone=time_zone,
    )


def ended_event(campaign: Campaign, user_id: str, ended_at: datetime) -> CampaignEnded:
    return CampaignEnded(
        event_id=event_id(campaign.campaign_id, "CampaignEnded"),
        account_id=campaign.account_id,
        campaign_id=campaign.campaign_id,
        occurred_at=ended_at,
        actor=user_id,
        caused_by=None,
        ended_at=ended_at,
        ended_by=user_id,
        scheduled_for=campaign.scheduled_for,
    )


@dataclass(frozen=True, slots=True)
class NewRecipient:
    """A row of a list on its way in; `number` and `cells` are sealed."""

    recipient_id: str
    person_id: str
    position: int
    number: str
    columns: tuple[str, ...]  # the headers
    cells: str  # a JSON array of what stands under them


def added_event(campaign: Campaign, new: NewRecipient, user_id: str, at: datetime) -> RecipientAdded:
    return RecipientAdded(
        event_id=event_id(new.recipient_id, "RecipientAdded"),
        account_id=campaign.account_id,
        campaign_id=campaign.campaign_id,
        recipient_id=new.recipient_id,
        person_id=new.person_id,
        occurred_at=at,
        actor=user_id,
        caused_by=None,
        position=new.position,
        number=new.number,
        columns=dict.fromkeys(new.columns, ""),
        cells=new.cells,
    )
