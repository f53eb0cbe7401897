"""Tries are paid for beforehand, and come back with time."""

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from kernel.testing import NOON
from send_intake.throttle import PER_ADDRESS, PER_NAME, Limit, Wait, spend

LIMITS = st.builds(Limit, st.integers(1, 20), st.integers(1, 600).map(lambda s: timedelta(seconds=s)))


def tries(limit: Limit, *at: datetime) -> list[bool]:
    """Which of the tries at these times count."""
    spent, counted = NOON - timedelta(days=365), []
    for time in at:
        after = spend(spent, time, limit)
        counted.append(not isinstance(after, Wait))
        spent = spent if isinstance(after, Wait) else after
    return counted


def test_five_tries_of_a_name_at_once_and_then_one_a_minute() -> None:
    assert tries(PER_NAME, *[NOON] * 7) == [True] * 5 + [False] * 2
    minutes = [NOON + timedelta(minutes=n) for n in range(1, 4)]
    assert tries(PER_NAME, *[NOON] * 5, *minutes) == [True] * 8
    assert tries(PER_NAME, *[NOON] * 5, NOON + timedelta(seconds=59)) == [True] * 5 + [False]


def test_an_address_has_more_for_many_people_may_share_it() -> None:
    assert PER_ADDRESS.burst > 10 * PER_NAME.burst and PER_ADDRESS.every < PER_NAME.every


@given(LIMITS)
def test_the_wait_that_is_said_is_the_one_it_takes(limit: Limit) -> None:
    spent = NOON
    for _ in range(limit.burst):
        after = spend(spent, NOON, limit)
        assert not isinstance(after, Wait)
        spent = after
    wait = spend(spent, NOON, limit)
    assert isinstance(wait, Wait) and timedelta(0) < wait.time <= limit.every
    assert not isinstance(spend(spent, NOON + wait.time, limit), Wait)
    assert isinstance(spend(spent, NOON + wait.time - timedelta(microseconds=1), limit), Wait)


@given(LIMITS, st.lists(st.integers(0, 3600), max_size=60).map(sorted))
def test_no_pattern_of_tries_gets_more_than_the_limit(limit: Limit, seconds: list[int]) -> None:
    at = [NOON + timedelta(seconds=s) for s in seconds]
    counted = [time for time, counts in zip(at, tries(limit, *at), strict=True) if counts]
    for n, first in enumerate(counted):
        for m, last in enumerate(counted[n:], 1):
            assert m <= limit.burst + (last - first) // limit.every
