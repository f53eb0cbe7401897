"""When a receipt about a message that nobody here knows is looked at again: its id may become known."""

from datetime import datetime, timedelta

FIRST = timedelta(seconds=1)
LONGEST = timedelta(hours=1)
FOR = timedelta(hours=72)


def next_look(received_at: datetime, now: datetime) -> datetime | None:
    """After a second, then when it is twice as old, at least hourly; None once it is three days old.

    A receipt that overtook the answer to its submission is applied within seconds, and one that is nobody's costs some
    ninety looks in all.
    """
    age = now - received_at
    return now + min(max(age, FIRST), LONGEST) if age < FOR else None
