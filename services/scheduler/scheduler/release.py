"""The rule: what was SENT is released when it is due, or dropped because its campaign ended before its time."""

from dataclasses import dataclass
from datetime import datetime

from schemas.events import MessageDropped, MessageReleased, RecipientProcessed
from schemas.identity import event_id
from schemas.reasons import DropReason

ACTOR = "scheduler"


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


def decide(message: RecipientProcessed, end: End | None) -> Release | Drop:
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


def as_event(message: RecipientProcessed, decision: Release | Drop) -> MessageReleased | MessageDropped:
    """The decision as the fact it becomes. Its bytes follow from the log alone."""
    if isinstance(decision, Drop):
        return MessageDropped(
            event_id=event_id(message.recipient_id, "MessageDropped"),
            account_id=message.account_id,
            campaign_id=message.campaign_id,
            recipient_id=message.recipient_id,
            person_id=message.person_id,
            occurred_at=decision.end.ended_at,
            actor=ACTOR,
            caused_by=decision.end.event_id,
            due_at=message.due_at,
            scheduled_for=message.scheduled_for,
            reason=decision.reason,
        )
    return MessageReleased(
        event_id=event_id(message.recipient_id, "MessageReleased"),
        account_id=message.account_id,
        campaign_id=message.campaign_id,
        recipient_id=message.recipient_id,
        person_id=message.person_id,
        occurred_at=decision.at,
        actor=ACTOR,
        caused_by=message.event_id,
        due_at=message.due_at,
        scheduled_for=message.scheduled_for,
        number=message.number,
        text=message.text,
        sender=message.sender,
    )
