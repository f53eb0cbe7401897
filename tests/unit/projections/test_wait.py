"""Why people wait, as the time of the wall and the time in the log go on."""

from datetime import UTC, datetime, timedelta

import pytest
from projections.wait import GRACE, Waiting, waits_for

T = datetime(2026, 3, 1, 12, tzinfo=UTC)
A_MOMENT = timedelta(microseconds=1)
BEFORE, AFTER, LATE = T - A_MOMENT, T + A_MOMENT, T + GRACE
NEVER, UNKNOWN = datetime.min.replace(tzinfo=UTC), None


@pytest.mark.parametrize(
    ("people", "scheduled_for", "ended_at", "now", "clock_at", "expected"),
    [
        # nobody waits
        (0, None, None, T, T, None),
        (0, T, None, BEFORE, BEFORE, None),
        (0, T, None, LATE, NEVER, None),
        # T lies ahead, whether or not the clock goes
        (1, T, None, BEFORE, BEFORE, "time"),
        (1, T, None, BEFORE, NEVER, "time"),
        (1, T, None, BEFORE, UNKNOWN, "time"),
        # T has come a moment ago, and the clock may still be on its way
        (1, T, None, T, BEFORE, "queue"),
        (1, T, None, LATE - A_MOMENT, BEFORE, "queue"),
        # and does not come
        (1, T, None, LATE, BEFORE, "clock"),
        (1, T, None, LATE, NEVER, "clock"),
        (1, T, None, T + timedelta(days=3), BEFORE, "clock"),
        # it has come
        (1, T, None, LATE, T, "queue"),
        (1, T, None, LATE, AFTER, "queue"),
        (1, T, None, BEFORE, T, "queue"),  # our own clock is behind: the log lets them go
        # not known here: not blamed
        (1, T, None, LATE, UNKNOWN, "queue"),
        # no T to wait for
        (1, None, None, T, NEVER, "queue"),
        (1, None, T, T, NEVER, "queue"),
        # ended before T: they are dropped, which needs no clock
        (1, T, BEFORE, BEFORE, BEFORE, "queue"),
        (1, T, BEFORE, LATE, NEVER, "queue"),
        # ended at T or after: they go, and need it
        (1, T, T, LATE, BEFORE, "clock"),
        (1, T, AFTER, LATE, T, "queue"),
    ],
)
def test_people_wait_for(
    people: int,
    scheduled_for: datetime | None,
    ended_at: datetime | None,
    now: datetime,
    clock_at: datetime | None,
    expected: str | None,
) -> None:
    assert waits_for(Waiting(people, scheduled_for, ended_at), now, clock_at) == expected


def test_of_a_clock_that_goes_nobody_hears() -> None:
    """Each reading is heard of at most `GRACE` later than it was true."""
    waiting = Waiting(1, T, None)
    steps = [timedelta(milliseconds=100) * n for n in range(-100, 100)]
    told = [waits_for(waiting, T + step, T + step - GRACE) for step in steps]
    assert list(dict.fromkeys(told)) == ["time", "queue"] and told == sorted(told, reverse=True)
