"""When a recipient came into each state; and the figures over time that follow from it."""

import itertools
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from projections.course import MOST_POINTS, STEPS_S, USUAL_POINTS, Span, course, moves, parted, points, usual_step
from projections.progress import State, fold, leaf, new_row

from tests.unit.projections.life import MINUTE, NOON, Life

ADA = Life()


def row_of(*events: Any) -> Any:
    return fold(new_row(events[0]), events)


def told(*events: Any) -> list[tuple[str, float]]:
    """The course in minutes after noon."""
    return [(state, (at - NOON) / MINUTE) for state, at in course(row_of(*events))]


def test_a_text_that_arrived() -> None:
    assert told(ADA.added(), ADA.processed(), ADA.released(), ADA.attempted(), ADA.accepted(), ADA.delivered()) == [
        ("unprocessed", -5), ("waiting", 0), ("awaiting", 10), ("delivered", 15),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("events", "last"),
    [
        ([ADA.dropped()], ("dropped", 5)),
        ([ADA.suppressed()], ("suppressed", 6)),
        ([ADA.attempted(), ADA.rejected()], ("failed", 12)),
        ([ADA.attempted(), ADA.unresolved()], ("unknown", 11)),
        ([ADA.accepted(), ADA.not_delivered()], ("failed", 14)),
        ([ADA.unresolved(), ADA.unconfirmed()], ("unconfirmed", 13)),
    ],
)
def test_how_it_ends(events: list[Any], last: tuple[str, float]) -> None:
    assert told(ADA.added(), ADA.processed(), *events)[-1] == last


def test_an_attempt_that_was_not_accepted_never_was() -> None:
    assert told(ADA.added(), ADA.processed(), ADA.attempted(), ADA.not_accepted()) == [
        ("unprocessed", -5),
        ("waiting", 0),
    ]
    assert told(ADA.processed(), ADA.attempted(), ADA.not_accepted(), ADA.attempted(2))[-2:] == [
        ("waiting", 0),
        ("awaiting", 20),
    ]


def test_what_a_later_fact_implies_had_happened_by_then() -> None:
    assert told(ADA.delivered()) == [(state, 15) for state in ("unprocessed", "waiting", "awaiting", "delivered")]


@settings(deadline=None)
@given(st.lists(st.sampled_from(ADA.all_about_it(3)), min_size=1, max_size=14))
def test_it_goes_forward_and_ends_where_the_recipient_is_counted(events: list[Any]) -> None:
    row = row_of(*events)
    found = course(row)
    assert found[-1][0] == leaf(row)[0]
    assert all(earlier[1] <= later[1] for earlier, later in itertools.pairwise(found))
    assert found[-1][1] <= NOON + timedelta(minutes=40), "every time is a fact's"
    summed: Counter[str] = Counter()
    for _, state, n in sorted(moves(found)):
        summed[state] += n
    assert +summed == Counter([leaf(row)[0]])


def test_what_comes_and_goes_within_a_minute_is_not_told() -> None:
    assert moves(course(row_of(ADA.delivered()))) == [(NOON + 15 * MINUTE, "delivered", 1)]
    assert moves(course(row_of(ADA.added(), ADA.processed()))) == [
        (NOON - 5 * MINUTE, "unprocessed", 1),
        (NOON, "unprocessed", -1),
        (NOON, "waiting", 1),
    ]


@settings(deadline=None)
@given(*[st.lists(st.sampled_from(ADA.all_about_it()), min_size=1, max_size=14)] * 2)
def test_what_two_courses_share_moves_the_figures_alike(some: list[Any], more: list[Any]) -> None:
    before, after = course(row_of(*some)), course(row_of(*some, *more))

    def difference(old: Any, new: Any) -> dict[Any, int]:
        found: Counter[Any] = Counter()
        for sign, steps in ((-1, old), (1, new)):
            for minute, state, n in moves(steps):
                found[minute, state] += sign * n
        return {key: n for key, n in found.items() if n}

    assert difference(*parted(before, after)) == difference(before, after)


def test_points_are_the_figures_at_the_end_of_each_step() -> None:
    nothing = dict.fromkeys(State, 0)
    rows = [
        {"at": NOON, **nothing, State.UNPROCESSED: 3},
        {"at": NOON + 10 * MINUTE, **nothing, State.UNPROCESSED: -1, State.DELIVERED: 1},
    ]
    first, second = points(rows, 300)
    assert (first["at"], first["recipients"], first["processed"]) == (NOON + 5 * MINUTE, 3, 0)
    assert (second["at"], second["recipients"], second["sent"]) == (NOON + 15 * MINUTE, 3, 1)
    assert points([], 60) == []


@pytest.mark.parametrize(
    ("minutes", "step_s"), [(0, 60), (200, 60), (400, 300), (24 * 60, 300), (30 * 24 * 60, 4 * 3600)]
)
def test_a_chart_has_no_more_points_than_one_can_see(minutes: int, step_s: int) -> None:
    span = Span(NOON, NOON + minutes * MINUTE)
    assert usual_step(span) == step_s and span.points(step_s) <= USUAL_POINTS


def test_years_fit_as_well() -> None:
    assert Span(NOON, NOON + timedelta(days=3650)).points(STEPS_S[-1]) < MOST_POINTS
