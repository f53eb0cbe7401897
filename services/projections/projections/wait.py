"""Why those who were SENT have not left yet: their time, a clock that does not get there, or the queue."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

# Time becomes an event every 250 ms, and is heard of here within a second more: sooner than this no clock is late.
GRACE = timedelta(seconds=2)


class WaitsFor(StrEnum):
    TIME = "time"
    CLOCK = "clock"
    QUEUE = "queue"


class Waiting(NamedTuple):
    """How many of a campaign wait, its time T, and its end."""

    people: int
    scheduled_for: datetime | None
    ended_at: datetime | None

    @property
    def until(self) -> datetime | None:
        """T, if it is T that they wait for. Those of a campaign that ended before it are dropped without a clock."""
        t = self.scheduled_for
        return None if t is None or (self.ended_at is not None and self.ended_at < t) else t


def waits_for(waiting: Waiting, now: datetime, clock_at: datetime | None) -> WaitsFor | None:
    """`clock_at`: the newest time in the log, which lets messages go. While it is not known (None) it is not blamed."""
    if not waiting.people:
        return None
    t = waiting.until
    if t is None or (clock_at is not None and clock_at >= t):
        return WaitsFor.QUEUE
    if now < t:
        return WaitsFor.TIME
    return WaitsFor.QUEUE if clock_at is None or now < t + GRACE else WaitsFor.CLOCK
