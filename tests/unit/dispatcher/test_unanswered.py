"""A START that comes again, for we did not take it, is as old as when it first came."""

from datetime import UTC, datetime, timedelta

import pytest
from dispatcher import unanswered
from dispatcher.provider import SMPP, TWILIO, Inbound
from dispatcher.unanswered import Unanswered, name_of

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
START = Inbound("i1", "+12025550123", "+12025550100", "START")


def test_what_comes_again_keeps_its_first_time_and_what_comes_first_has_none_but_now() -> None:
    known = Unanswered()
    assert known.since(("a",), NOON) == NOON
    known.note(("a",), NOON)
    known.note(("a",), NOON + MINUTE)
    assert known.since(("a",), NOON + 2 * MINUTE) == NOON
    assert known.since(("b",), NOON + 2 * MINUTE) == NOON + 2 * MINUTE


def test_nothing_is_kept_for_ever_and_never_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unanswered, "MOST", 2)
    known, later = Unanswered(), NOON + unanswered.KEPT_FOR + MINUTE
    known.note(("a",), NOON)
    assert known.since(("a",), later) == later
    for name in "abc":
        known.note((name,), later)
    assert [known.since((name,), later + MINUTE) for name in "abc"] == [later + MINUTE, later, later]


def test_it_is_known_by_its_id_or_where_there_is_none_by_all_that_it_says() -> None:
    again = START._replace(carrier_message_id="i2")
    assert name_of(TWILIO, START) != name_of(TWILIO, again)
    assert name_of(SMPP, START) == name_of(SMPP, again)
    for other in (again._replace(number="+12025550124"), again._replace(sender="+1"), again._replace(body="UNSTOP")):
        assert name_of(SMPP, START) != name_of(SMPP, other)
