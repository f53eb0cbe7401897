"""The rule: what was SENT is released when it is due, or dropped because its campaign ended before its time."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from schemas.events import MessageDropped, MessageReleased, RecipientProcessed
from schemas.identity import event_id
from schemas.reasons import DropReason

ACTOR = "scheduler"

Group = tuple[str, datetime]  # a campaign, and the time its messages wait for


@dataclass(frozen=True, slots=True)
class End:
    """The END of a campaign, as its CampaignEnded tells it."""

    ended_at: datetime
    event_id: str


@dataclass(frozen=True, slots=True)
class Release:
    at: datetime


@dataclass(frozen=True, slots=True)
class Drop:
    reason: DropReason
    end: End


@dataclass(frozen=True, slots=True)
class Hold:
    until: datetime


class Due(Protocol):
    """What the rule looks at: of one message, or of all that wait for the same T of a campaign."""

    @property
    def scheduled_for(self) -> datetime | None: ...
    @property
    def due_at(self) -> datetime: ...


@dataclass(frozen=True, slots=True)
class Waiting:
    """The messages of a campaign that are held for its T: they share their fate."""

    campaign_id: str
    due_at: datetime
    end: End | None

    @property
    def scheduled_for(self) -> datetime:
        """Nothing else is held: `misdue`."""
        return self.due_at

    @property
    def group(self) -> Group:
        return self.campaign_id, self.due_at


def decide(message: Due, end: End | None) -> Release | Drop:
    """A scheduled campaign that ended before its time texts nobody; everything else goes when it is due."""
    if message.scheduled_for is not None and end is not None and end.ended_at < message.scheduled_for:
        return Drop(DropReason.CAMPAIGN_ENDED, end)
    return Release(at=message.due_at)


def admit(message: RecipientProcessed, end: End | None) -> Release | Drop | Hold:
    """What to do with a message on arrival.

    One that is due at once needs no clock: its SEND came after T, so no END of its campaign can lie before T.
    One that waits for T is held even when T has passed, until the watermark says that every END before T is known.
    """
    decision = decide(message, end)
    if isinstance(decision, Release) and message.due_at != message.processed_at:
        return Hold(until=message.due_at)
    return decision


def misdue(message: RecipientProcessed) -> str:
    """Why the event cannot be true, or nothing: it is due at once, or at T if its SEND came before."""
    if message.due_at == message.processed_at:
        return ""
    if message.due_at != message.scheduled_for or message.due_at < message.processed_at:
        return "it is due neither at its SEND nor at its campaign's time"
    return ""


def released(message: RecipientProcessed) -> MessageReleased:
    """The fact that it was let go. Its bytes follow from the log alone."""
    return MessageReleased(
        event_id=event_id(message.recipient_id, "MessageReleased"),
        account_id=message.account_id,
        campaign_id=message.campaign_id,
        recipient_id=message.recipient_id,
        person_id=message.person_id,
        occurred_at=message.due_at,
        actor=ACTOR,
        caused_by=message.event_id,
        due_at=message.due_at,
        scheduled_for=message.scheduled_for,
        number=message.number,
        text=message.text,
        sender=message.sender,
        useful_until=message.useful_until,
    )


def dropped(message: RecipientProcessed | MessageReleased, drop: Drop) -> MessageDropped:
    """The fact that it was dropped, of one that has just arrived or of one that was ready to go."""
    return MessageDropped(
        event_id=event_id(message.recipient_id, "MessageDropped"),
        account_id=message.account_id,
        campaign_id=message.campaign_id,
        recipient_id=message.recipient_id,
        person_id=message.person_id,
        occurred_at=drop.end.ended_at,
        actor=ACTOR,
        caused_by=drop.end.event_id,
        due_at=message.due_at,
        scheduled_for=message.scheduled_for,
        reason=drop.reason,
    )
