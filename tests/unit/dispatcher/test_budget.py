"""Limits: never more than the rate in any window, nothing saved up at the start, a day's allowance a day."""

import pytest
from dispatcher.budget import A_DAY_S, Allowance, Kind, Limits, Name, Purse, Rate, unused
from dispatcher.turns import Lane
from hypothesis import given
from hypothesis import strategies as st

NOW = 1_800_000_000.0  # as seconds since 1970 are written today, with the precision that leaves
LANE = Lane("account", "campaign", "+12025550100")


def test_a_rate_starts_empty_and_fills_evenly() -> None:
    rate = Rate(10, NOW)
    assert not rate.fits(1, NOW)
    assert not rate.fits(1, NOW + 0.09)
    assert rate.fits(1, NOW + 0.1)
    assert rate.fits_at(1, NOW) == pytest.approx(NOW + 0.1)


def test_a_sender_that_was_idle_has_saved_a_tenth_of_a_second_up_and_no_more() -> None:
    rate = Rate(100, NOW - 3600)
    sent = 0
    while rate.fits(1, NOW):
        rate.spend(1, NOW)
        sent += 1
    assert sent == 10


def test_a_text_larger_than_the_bucket_leaves_when_it_is_full_and_is_paid_for_afterwards() -> None:
    rate = Rate(1, NOW - 1)
    assert rate.fits(7, NOW)
    rate.spend(7, NOW)
    assert not rate.fits(1, NOW + 6.9)
    assert rate.fits(7, NOW + 7)


@given(
    st.sampled_from([0.5, 1, 3, 10, 75, 400]),
    st.lists(st.tuples(st.floats(0, 2), st.integers(1, 10)), min_size=1, max_size=150),
)
def test_no_window_holds_more_than_the_rate_and_the_bucket(per_s: float, asked: list[tuple[float, int]]) -> None:
    """Whatever is asked for and when, from the start on; the last text of a window may be paid for after it."""
    rate, now, left = Rate(per_s, NOW), NOW, []
    for pause, segments in asked:
        now += pause
        if rate.fits(segments, now):
            rate.spend(segments, now)
            left.append((now, segments))
    for first in range(len(left)):
        total = 0
        for at, segments in left[first:]:
            # What was sent before this one, and as much of it as a full bucket holds.
            paid = total + min(segments, rate.depth)
            assert paid <= per_s * (at - left[first][0]) + rate.depth + 1e-3
            total += segments
    before_first = sum(min(segments, rate.depth) for at, segments in left[:1])
    assert not left or before_first <= per_s * (left[0][0] - NOW) + 1e-3


@given(st.sampled_from([0.5, 7, 100]), st.integers(1, 10))
def test_what_keeps_asking_gets_the_whole_rate(per_s: float, segments: int) -> None:
    rate, now, sent = Rate(per_s, NOW), NOW, 0
    while now < NOW + 100:
        now = rate.fits_at(segments, now)
        assert rate.fits(segments, now)
        rate.spend(segments, now)
        sent += segments
    assert sent == pytest.approx(per_s * 100, abs=2 * segments + rate.depth)


def test_a_day_s_allowance_comes_back_at_midnight_utc_and_not_before() -> None:
    day = int(NOW // A_DAY_S)
    midnight = (day + 1) * A_DAY_S
    allowance = Allowance(10, day, 7)
    assert allowance.fits(3, NOW)
    allowance.spend(3, NOW)
    assert not allowance.fits(1, midnight - 1)
    assert allowance.fits_at(1, NOW) == midnight
    assert allowance.fits(10, midnight)
    allowance.spend(10, midnight)
    assert not allowance.fits(1, midnight - 1)  # a clock that went back brings nothing back
    assert allowance.fits_at(1, midnight - 1) == midnight + A_DAY_S


def test_a_text_of_more_than_a_day_s_allowance_leaves_alone() -> None:
    allowance = Allowance(2, int(NOW // A_DAY_S), 0)
    assert allowance.fits(3, NOW)
    allowance.spend(3, NOW)
    assert not allowance.fits(1, NOW)


def test_a_text_draws_on_all_of_its_budgets_or_on_none() -> None:
    limits = Limits(sender_per_s=10, account_per_minute=6, brand_per_day=100)
    budgets = {name: unused(limits, name, NOW) for name in limits.names(LANE)}
    assert [name.kind for name in budgets] == [Kind.SENDER, Kind.ACCOUNT, Kind.BRAND]
    purse = Purse(limits, budgets, NOW + 1)  # the sender has enough, the account would in 9 s
    assert not purse.spend(LANE, 1)
    assert purse.fits_at == pytest.approx(NOW + 10)
    assert budgets == {name: unused(limits, name, NOW) for name in budgets}
    assert Purse(limits, budgets, NOW + 10).spend(LANE, 1)


def test_a_budget_that_is_short_for_a_large_text_pays_for_no_small_one_before_it() -> None:
    limits = Limits(sender_per_s=100)
    budgets = {name: Rate(100, NOW) for name in limits.names(LANE)}
    small = Lane("account", "another campaign", LANE.sender)
    early = Purse(limits, budgets, NOW + 0.05)
    assert not early.spend(LANE, 7)
    assert not early.spend(small, 1)
    assert budgets[Name(Kind.SENDER, LANE.sender)].fits(1, early.now)
    assert Purse(limits, budgets, NOW + 0.08).spend(LANE, 7)


def test_a_sender_s_own_limit_goes_before_the_common_one() -> None:
    limits = Limits(sender_per_s=10, of_sender={"+1": 0, "+2": 75})
    assert [limits.per_s(Name(Kind.SENDER, sender)) for sender in ("+1", "+2", "+3")] == [0, 75, 10]
    assert limits.names(Lane("a", "c", "+1")) == []
    assert limits.any and not Limits().any and not Limits(of_sender={"+1": 0}).any
