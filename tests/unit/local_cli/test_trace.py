"""A trace tells causes before effects, and where there are none."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from handsent.log_view import Seen
from handsent.trace import causes_elsewhere, trace

from tests.unit.projections.life import MINUTE, NOON, Life

LIFE = Life()
PRESSED = LIFE.processed()
RELEASED = replace(LIFE.released(), caused_by=PRESSED.event_id, occurred_at=NOON - MINUTE)  # a clock that lags


def seen(event: Any, offset: int, at: datetime = NOON) -> Seen:
    return Seen("topic", 0, offset, at, None, b"", event)


def test_an_effect_comes_behind_its_cause_whatever_the_clocks_say() -> None:
    found = trace([seen(RELEASED, 0), seen(PRESSED, 1)], {})
    assert [step.event for step in found.steps] == [PRESSED, RELEASED]
    assert [step.cause for step in found.steps] == [None, ("topic", 0, 1)] and found.whole


def test_a_cause_may_lie_elsewhere_or_nowhere() -> None:
    records = [seen(RELEASED, 0)]
    assert causes_elsewhere(records) == {PRESSED.event_id}
    assert trace(records, {PRESSED.event_id: ("other", 1, 2)}).whole
    lost = trace(records, {})
    assert lost.steps[0].gap and not lost.whole


def test_a_repeat_and_what_cannot_be_read_are_said() -> None:
    bad = Seen("topic", 0, 9, NOON, None, b"?", None, "no event")
    found = trace([seen(PRESSED, 0), seen(PRESSED, 1, NOON + MINUTE), bad], {})
    assert [step.repeats for step in found.steps] == [False, True]
    assert found.unreadable == [bad] and not found.whole


def test_events_that_name_each_other_as_cause_end() -> None:
    one, other = LIFE.attempted(), LIFE.accepted()
    found = trace(
        [seen(replace(one, caused_by=other.event_id), 0), seen(replace(other, caused_by=one.event_id), 1)], {}
    )
    assert len(found.steps) == 2
