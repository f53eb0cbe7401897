"""The rule of the scheduler: what becomes of a message, by the log alone."""

from dataclasses import fields, replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel.testing import NOON, processed
from scheduler.release import Drop, End, Hold, Release, Waiting, admit, decide, dropped, misdue, released

from schemas.codec import encode
from schemas.reasons import DropReason

SECOND, MICROSECOND = timedelta(seconds=1), timedelta(microseconds=1)
T = NOON + 600 * SECOND
ends = st.none() | st.builds(End, st.datetimes().map(lambda d: d.replace(tzinfo=NOON.tzinfo)), st.just("an END"))


@pytest.mark.parametrize(
    ("ended_at", "expected"),
    [
        (None, Release),
        (T - SECOND, Drop),
        (T - MICROSECOND, Drop),
        (T, Release),
        (T + MICROSECOND, Release),
    ],
)
def test_only_an_end_before_t_drops(ended_at: object, expected: type) -> None:
    end = End(ended_at, "an END") if ended_at else None  # type: ignore[arg-type]
    assert isinstance(decide(processed(1, scheduled_for=T), end), expected)
    assert isinstance(decide(Waiting("c", T, end), end), expected)


@given(ends)
def test_what_is_not_scheduled_is_never_dropped(end: End | None) -> None:
    assert admit(processed(1), end) == Release(NOON)


@given(ends)
def test_a_send_at_or_after_t_waits_for_nothing(end: End | None) -> None:
    """Were its END before T, send-intake would have given the SEND no time at all: the drop is what the log says."""
    decision = admit(processed(1, at=T, scheduled_for=T), end)
    assert isinstance(decision, Release | Drop)


@given(ends)
def test_a_send_before_t_waits_for_t_or_is_dropped(end: End | None) -> None:
    decision = admit(processed(1, at=T - MICROSECOND, scheduled_for=T), end)
    assert decision == (Drop(DropReason.CAMPAIGN_ENDED, end) if end and end.ended_at < T else Hold(until=T))


def test_what_is_held_becomes_the_same_bytes_as_what_has_just_come() -> None:
    message = processed(1, scheduled_for=T)
    drop = Drop(DropReason.CAMPAIGN_ENDED, End(T - SECOND, message.event_id))
    assert encode(dropped(released(message), drop)) == encode(dropped(message, drop))


def test_a_release_carries_all_that_the_dispatcher_needs() -> None:
    message = replace(processed(1, scheduled_for=T), useful_until=T + SECOND)
    event = released(message)
    shared = {field.name for field in fields(event)} & {field.name for field in fields(message)}
    differ = {name for name in shared if getattr(event, name) != getattr(message, name)}
    assert differ == {"event_id", "occurred_at", "actor", "caused_by"}
    assert (event.occurred_at, event.caused_by) == (T, message.event_id)
    assert event.useful_until == T + SECOND, "nobody asks send-intake for it"


@pytest.mark.parametrize(
    ("due_at", "true"),
    [(NOON, True), (T, True), (T + SECOND, False), (NOON - SECOND, False), (NOON + SECOND, False)],
)
def test_a_message_is_due_at_its_send_or_at_t(due_at: object, true: bool) -> None:
    message = replace(processed(1, scheduled_for=T), due_at=due_at)  # type: ignore[arg-type]
    assert (misdue(message) == "") is true
