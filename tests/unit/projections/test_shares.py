"""Figures as shares."""

from projections.figures import numbers
from projections.shares import SHARES, shares


def test_each_is_a_share_of_its_whole() -> None:
    found = shares(numbers({"unprocessed": 4, "suppressed": 1, "delivered": 2, "failed": 1}))
    assert (found["processed"], found["suppressed"], found["sent"]) == (0.5, 0.25, 0.75)
    assert (found["delivered"], found["failed"], found["unknown"]) == (0.6667, 0.3333, 0.0)


def test_there_is_no_share_of_nothing() -> None:
    assert set(shares(numbers({})).values()) == {None}
    assert list(shares(numbers({}))) == list(SHARES)
