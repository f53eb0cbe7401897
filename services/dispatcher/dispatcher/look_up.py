"""What a carrier's list of messages proves about an attempt whose outcome nobody knows. Its silence proves nothing."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

AFTER_THE_INTENT = timedelta(minutes=15)
SECOND = timedelta(seconds=1)  # what the carrier's times are rounded to


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for, by the intent committed at `attempted_at`."""

    to: str
    sender: str
    body: str
    attempted_at: datetime


@dataclass(frozen=True, slots=True)
class Listed:
    """A message as the carrier lists it; `status` and `code` are its own words."""

    carrier_message_id: str
    to: str
    sender: str
    body: str
    created_at: datetime
    status: str
    code: str | None


def found(asked: Asked, listed: Sequence[Listed], others: Collection[str]) -> Listed | None:
    """The message that this attempt became: the only one with its text, to and from, made right after the intent.

    `others` are ids that are known to be other attempts'. Two that match might be anybody's: nothing is concluded. That
    no other attempt may have become this message is for the caller to see to.
    """
    mine = [one for one in listed if _matches(asked, one) and one.carrier_message_id not in others]
    return mine[0] if len(mine) == 1 else None


def _matches(asked: Asked, one: Listed) -> bool:
    return (one.to, one.sender, one.body) == (
        asked.to,
        asked.sender,
        asked.body,
    ) and asked.attempted_at - SECOND < one.created_at <= asked.attempted_at + AFTER_THE_INTENT
