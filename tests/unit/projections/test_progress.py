"""A row is the same whatever the order and however often its events come; and it is counted in one state."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from projections.progress import fold, leaf, new_row, project

from tests.unit.projections.life import NOON, Life

ADA, SEALED = Life(), Life(sealed=True)
SENT = [ADA.added(), ADA.processed(), ADA.released(), ADA.attempted()]
FINAL = [ADA.accepted(), ADA.delivered()]


def row_of(events: list[Any]) -> Any:
    return fold(new_row(events[0]), events)


@given(st.lists(st.sampled_from(ADA.all_about_it()), min_size=1, max_size=14), st.randoms())
def test_any_order_and_repetition_gives_the_same_row(events: list[Any], chance: Any) -> None:
    other = events + chance.sample(events, chance.randrange(len(events)))
    chance.shuffle(other)
    assert row_of(other) == row_of(events)


@given(st.lists(st.sampled_from(SEALED.all_about_it()), min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_any_order_gives_the_same_sealed_number(events: list[Any], chance: Any) -> None:
    other = list(events)
    chance.shuffle(other)
    assert row_of(other) == row_of(events)


@given(st.lists(st.sampled_from(ADA.all_about_it()), min_size=1, max_size=14))
def test_a_repeat_at_once_or_later_changes_nothing(events: list[Any]) -> None:
    row = row_of(events)
    assert all(project(row, event) == row for event in events)


@pytest.mark.parametrize(
    ("events", "state", "reason"),
    [
        (SENT[:1], "unprocessed", None),
        (SENT[:2], "waiting", None),
        (SENT[:3], "waiting", None),
        ([*SENT[:2], ADA.dropped()], "dropped", "campaign_ended"),
        ([*SENT[:3], ADA.suppressed()], "suppressed", "opted_out"),
        (SENT, "awaiting", None),
        ([*SENT, ADA.accepted()], "awaiting", None),
        ([*SENT, ADA.rejected()], "failed", "invalid_number"),
        ([*SENT, ADA.unresolved()], "unknown", "carrier_error"),
        ([*SENT, ADA.unresolved(), ADA.accepted()], "awaiting", None),
        ([*SENT, ADA.unresolved(), ADA.not_accepted()], "waiting", "throttled"),
        ([*SENT, ADA.not_accepted()], "waiting", "throttled"),
        ([*SENT, ADA.not_accepted(), ADA.suppressed()], "suppressed", "opted_out"),
        ([*SENT, ADA.not_accepted(), ADA.attempted(2)], "awaiting", None),
        ([*SENT, ADA.not_accepted(), ADA.attempted(2), ADA.unresolved(2)], "unknown", "carrier_error"),
        ([*SENT, *FINAL], "delivered", None),
        ([*SENT, ADA.accepted(), ADA.not_delivered()], "failed", "landline"),
        ([*SENT, ADA.accepted(), ADA.not_delivered(), ADA.delivered()], "delivered", None),
        ([*SENT, ADA.accepted(), ADA.unconfirmed()], "unconfirmed", "no_receipt"),
        ([*SENT, ADA.accepted(), ADA.unconfirmed(), ADA.not_delivered()], "failed", "landline"),
    ],
)
def test_what_happened_decides_the_state(events: list[Any], state: str, reason: str | None) -> None:
    assert leaf(row_of(events)) == (state, reason)


@pytest.mark.parametrize(
    ("event", "state"),
    [
        (ADA.released(), "waiting"),
        (ADA.dropped(), "dropped"),
        (ADA.suppressed(), "suppressed"),
        (ADA.attempted(), "awaiting"),
        (ADA.not_accepted(), "waiting"),
        (ADA.accepted(), "awaiting"),
        (ADA.delivered(), "delivered"),
        (ADA.not_delivered(), "failed"),
        (ADA.unconfirmed(), "unconfirmed"),
    ],
)
def test_a_later_fact_alone_implies_the_earlier_ones(event: Any, state: str) -> None:
    assert leaf(row_of([event]))[0] == state


@pytest.mark.parametrize("never_sent", [ADA.dropped(), ADA.suppressed()])
def test_what_was_sent_is_not_hidden_by_what_should_have_stopped_it(never_sent: Any) -> None:
    assert leaf(row_of([never_sent, *SENT]))[0] == "awaiting"


def test_the_latest_attempt_tells_when_it_was_sent() -> None:
    row = row_of([*SENT, ADA.not_accepted(), ADA.accepted(2), ADA.attempted(2)])
    assert row.attempt.sent_at == ADA.attempted(2).occurred_at
    assert (row.attempt.carrier_message_id, row.attempt.reason) == ("SM2", None)


def test_a_receipt_before_the_acceptance_does_not_lose_the_acceptance() -> None:
    row = row_of([ADA.delivered(), ADA.accepted(), ADA.attempted()])
    assert row.attempt.accepted_at == ADA.accepted().occurred_at
    assert row.attempt.sent_at == ADA.attempted().occurred_at


def test_a_list_is_kept_as_headers_and_cells() -> None:
    row = row_of([Life(columns={"Name": "Ada", "Notes": "x"}).added()])
    assert row.listed[1:3] == ('["Name","Notes"]', '["Ada","x"]')
    sealed = Life(columns={"Name": "Ada"}, sealed=True).added()
    assert row_of([sealed]).listed[1:3] == ('["Name"]', sealed.cells)


def test_what_postgres_cannot_keep_is_left_out() -> None:
    row = row_of([Life(columns={"no\x00te": "a\x00b", "slash": "\\u0000"}).added()])
    assert row.listed[1:3] == ('["note","slash"]', '["ab","\\\\u0000"]')


def test_who_pressed_and_when_is_kept() -> None:
    assert row_of(SENT).pressed == (NOON, "sam", NOON)
