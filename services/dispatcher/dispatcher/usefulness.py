"""Until when a message is worth sending: what is past that is not sent, and says so."""

from datetime import datetime, timedelta


def useful_until(campaigns: datetime | None, due_at: datetime, useful_for: timedelta | None) -> datetime | None:
    """The earlier of the campaign's own time and of `useful_for` after the message was due; None: for ever."""
    ours = None if useful_for is None else due_at + useful_for
    return min(filter(None, (campaigns, ours)), default=None)


def is_over(useful_until: datetime | None, at: datetime) -> bool:
    """The last moment itself is still useful."""
    return useful_until is not None and at > useful_until
