"""What a reply is answered with, and when an answer that is a text of its own may still go."""

from datetime import UTC, datetime, timedelta

import pytest
from dispatcher import notice
from dispatcher.keywords import Verdict
from dispatcher.notice import Kind, State, Texts, Way
from dispatcher.outcome import Accepted, NotAccepted, Outcome, Rejected, Unknown
from hypothesis import given
from hypothesis import strategies as st

from schemas.reasons import FailureReason, NotAcceptedReason, UnresolvedReason

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("way", [Way.WEBHOOK, Way.TEXT])
@pytest.mark.parametrize(
    ("verdict", "changed", "opted_out", "kind"),
    [
        (Verdict.STOP, True, True, Kind.STOPPED),
        (Verdict.STOP, False, True, None),  # repeated, or firm already
        (Verdict.START, True, False, Kind.STARTED),
        (Verdict.START, False, False, None),  # "yes" to a question
        (Verdict.START, False, True, None),  # a manager's block stands
        (Verdict.HELP, False, False, Kind.HELP),
        (Verdict.HELP, False, True, None),
        (Verdict.HOLD, False, False, None),
        (Verdict.OTHER, False, False, None),
    ],
)
def test_a_reply_is_answered_with(
    way: Way, verdict: Verdict, changed: bool, opted_out: bool, kind: Kind | None
) -> None:
    assert notice.answer(verdict, way, changed=changed, opted_out=opted_out) == kind


@given(st.sampled_from(Verdict), st.booleans(), st.booleans())
def test_nobody_is_answered_twice_where_the_carrier_has_answered(verdict: Verdict, changed: bool, out: bool) -> None:
    assert notice.answer(verdict, Way.NONE, changed=changed, opted_out=out) is None


@given(st.sampled_from(Kind), st.integers(0, 900), st.booleans(), st.booleans(), st.booleans())
def test_only_the_confirmation_of_a_stop_goes_to_who_has_opted_out_and_nothing_goes_late(
    kind: Kind, age_s: int, opted_out: bool, erased: bool, has_words: bool
) -> None:
    now = NOON + timedelta(seconds=age_s)
    state = notice.may_go(kind, NOON, now, opted_out=opted_out, erased=erased, has_words=has_words)
    if state == State.POSTING:
        assert age_s <= 300 and has_words and not erased
        assert opted_out == (kind == Kind.STOPPED)
    else:
        assert state in (State.LATE, State.NOT_WANTED)


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (Accepted("SM1"), State.SENT),
        (Rejected(FailureReason.OPTED_OUT, "21610"), State.REFUSED),
        (NotAccepted(NotAcceptedReason.THROTTLED), State.WAITING),
        (Unknown(UnresolvedReason.TIMEOUT), State.UNKNOWN),
    ],
)
def test_only_what_was_not_taken_is_posted_again(outcome: Outcome, state: State) -> None:
    assert notice.after(outcome) == state


def test_who_has_no_words_says_nothing() -> None:
    assert Texts({Kind.HELP: "a"}).of(Kind.HELP) == "a"
    assert Texts({}).of(Kind.HELP) == ""
