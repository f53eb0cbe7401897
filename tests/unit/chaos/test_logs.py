"""The checks of the log see what they are there for: two outcomes, none, the wrong one, a clock ahead of an END."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

from kernel.testing import CAMPAIGN, NOON, clock, ended, processed
from scheduler.release import Drop, End, dropped, released

from schemas.codec import encode
from schemas.events import Event
from schemas.reasons import DropReason
from schemas.topics import TOPIC_OF
from tests.chaos.logs import Entry, Outcomes, clock_before_an_end, outcomes

T = NOON + timedelta(hours=1)
PRESS = processed(1, scheduled_for=T)
BEFORE = ended(T - timedelta(seconds=1), scheduled_for=T)
AT_T = ended(T, scheduled_for=T)
RELEASED = released(PRESS)
DROPPED = dropped(PRESS, Drop(DropReason.CAMPAIGN_ENDED, End(BEFORE.ended_at, BEFORE.event_id)))


def lying(*events: Event) -> list[Entry]:
    return [Entry(TOPIC_OF[type(e)].name, 0, offset, encode(e), e) for offset, e in enumerate(events)]


def told(*events: Event, people: Iterable[str] = (PRESS.recipient_id,)) -> Outcomes:
    return outcomes(lying(*events), set(people))


def test_one_outcome_that_follows_from_the_log_is_as_it_must_be() -> None:
    for end, outcome in ((BEFORE, DROPPED), (AT_T, RELEASED)):
        found = told(PRESS, end, outcome, outcome)
        assert (found.problems, found.of, found.repeated) == ([], {PRESS.recipient_id: type(outcome).__name__}, 1)


def test_a_press_without_an_outcome_and_an_outcome_without_a_press_are_wrong() -> None:
    assert told(PRESS).problems and told(RELEASED).problems


def test_released_and_dropped_is_wrong() -> None:
    assert told(PRESS, BEFORE, DROPPED, RELEASED).problems


def test_the_outcome_the_ends_do_not_ask_for_is_wrong() -> None:
    assert told(PRESS, BEFORE, RELEASED).problems
    assert told(PRESS, AT_T, DROPPED).problems
    assert told(PRESS, DROPPED).problems


def test_the_same_id_with_other_bytes_is_wrong() -> None:
    assert told(PRESS, RELEASED, replace(RELEASED, occurred_at=T + timedelta(seconds=1))).problems


def test_other_people_do_not_count() -> None:
    assert told(PRESS, people=()).problems == []


def test_a_clock_that_promises_an_end_before_it_lies_there_is_wrong() -> None:
    end = ended(NOON, CAMPAIGN)
    assert clock_before_an_end(lying(end, clock(NOON, {0: 1}))) == []
    assert clock_before_an_end(lying(end, clock(NOON - timedelta(microseconds=1), {0: 0}))) == []
    assert len(clock_before_an_end(lying(end, clock(NOON, {0: 0})))) == 1


def test_of_an_end_that_lies_there_twice_the_first_counts() -> None:
    end = ended(NOON, CAMPAIGN)
    assert clock_before_an_end(lying(end, end, clock(NOON, {0: 1}))) == []
