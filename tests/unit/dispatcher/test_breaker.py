"""A carrier that fails is left alone, and asked by one message now and then; others go on."""

import pytest
from dispatcher.breaker import FIRST_PAUSE_S, WINDOW, Breaker
from dispatcher.flow import Bounds, Flows
from dispatcher.outcome import Accepted, NotAccepted, Outcome, Rejected, Unknown
from hypothesis import given
from hypothesis import strategies as st

from schemas.reasons import FailureReason, NotAcceptedReason, UnresolvedReason

LOST = Unknown(UnresolvedReason.TIMEOUT)
ERROR = Unknown(UnresolvedReason.CARRIER_ERROR, "500")
TAKEN = Accepted("SM1")
REJECTED = Rejected(FailureReason.LANDLINE, "30006")
AWAY = NotAccepted(NotAcceptedReason.COULD_NOT_CONNECT)
THROTTLED = NotAccepted(NotAcceptedReason.THROTTLED)
BOUNDS = Bounds(connections=64, failures=5, longest_pause_s=5)


def fed(breaker: Breaker, *outcomes: Outcome, sender: str = "+1", began: float = 0.0, now: float = 0.0) -> Breaker:
    for outcome in outcomes:
        breaker = breaker.after(outcome, sender, began, now, jitter=0)
    return breaker


def test_so_many_failures_in_a_row_open_it_and_one_answer_between_them_does_not() -> None:
    breaker = Breaker(failures=5, longest_pause_s=5)
    assert fed(breaker, LOST, ERROR, AWAY, LOST).closed
    assert not fed(breaker, LOST, ERROR, AWAY, LOST, LOST).closed
    assert fed(breaker, LOST, LOST, LOST, LOST, REJECTED, LOST, LOST).closed  # a refusal is an answer, too


def test_a_429_and_an_intent_that_expired_say_nothing() -> None:
    breaker = Breaker(failures=1, longest_pause_s=5)
    assert fed(breaker, THROTTLED, NotAccepted(NotAcceptedReason.INTENT_EXPIRED)) == breaker


def test_half_of_a_window_opens_it_less_does_not() -> None:
    breaker = Breaker(failures=5, longest_pause_s=5)
    assert not fed(breaker, *[LOST, TAKEN] * (WINDOW // 2)).closed
    assert fed(breaker, *[LOST, TAKEN, TAKEN] * WINDOW).closed


def test_zero_failures_never_open_it() -> None:
    assert fed(Breaker(failures=0, longest_pause_s=5), *[LOST] * 500).closed


def test_a_probe_that_fails_doubles_the_pause_and_one_that_is_answered_closes() -> None:
    breaker, now, pauses = fed(Breaker(failures=5, longest_pause_s=5), *[LOST] * 5), 0.0, []
    for _ in range(6):
        assert breaker.open_until is not None
        pauses.append(breaker.open_until - now)
        now = breaker.open_until
        assert not breaker.is_open(now) and not breaker.closed
        breaker = fed(breaker, LOST, began=now, now=now)
    assert pauses == [FIRST_PAUSE_S, 1, 2, 4, 5, 5]
    assert breaker.open_until is not None
    now = breaker.open_until
    breaker = fed(breaker, TAKEN, began=now, now=now)
    assert breaker.closed
    again = fed(breaker, *[LOST] * 5, began=now, now=now)
    assert again.open_until == now + FIRST_PAUSE_S


def test_what_was_under_way_when_it_opened_says_nothing_new() -> None:
    opened = fed(Breaker(failures=5, longest_pause_s=5), *[LOST] * 5, began=0, now=15)
    assert fed(opened, *[LOST] * 100, TAKEN, began=1, now=15.1) == opened
    assert opened.open_until is not None
    closed = fed(opened, TAKEN, began=opened.open_until, now=opened.open_until)
    assert fed(closed, *[LOST] * 100, began=1, now=17) == closed


def test_a_provider_rests_when_more_than_one_sender_fails() -> None:
    breaker = Breaker(failures=5, longest_pause_s=5, senders=2)
    assert fed(breaker, *[LOST] * 50, sender="+1").closed
    assert not fed(fed(breaker, *[LOST] * 50, sender="+1"), LOST, sender="+2").closed


def trouble(flows: Flows, outcome: Outcome, senders: list[str], seconds: float = 60, latency_s: float = 1.0) -> int:
    """How many POSTs a carrier gets that meets each with `outcome`, while there is no end of messages."""
    now, posts = 0.0, 0
    flying: list[tuple[float, float, str]] = []
    while now < seconds:
        for sender in senders * 64:  # in turn
            if len(flying) < 64 and flows.room("twilio", sender, now):
                flows.took("twilio", sender)
                flying.append((now + latency_s, now, sender))
                posts += 1
        now += 0.05
        for landing in [one for one in flying if one[0] <= now]:
            flying.remove(landing)
            flows.learn("twilio", landing[2], outcome, landing[1], now, jitter=0)
            flows.landed("twilio", landing[2], landing[1])
    return posts


@pytest.mark.parametrize("outcome", [LOST, ERROR, AWAY])
@pytest.mark.parametrize("latency_s", [0.0, 0.3, 15.0])
def test_a_failing_carrier_costs_what_is_under_way_and_one_message_a_pause(outcome: Outcome, latency_s: float) -> None:
    for senders in (["+1"], [f"+{n}" for n in range(20)]):
        probes = 60 / 5 + 5
        assert trouble(Flows(BOUNDS), outcome, senders, 60, latency_s) <= 64 + probes + 5


def test_another_sender_goes_on_at_full_speed_and_another_provider_too() -> None:
    flows = Flows(BOUNDS)
    trouble(flows, LOST, ["+1"])
    assert flows.room("twilio", "+1", 60.2) <= 1
    assert flows.room("twilio", "+2", 60.2) == flows.room("telnyx", "+3", 60.2) == 64
    for n in range(6):
        flows.learn("twilio", "+1", AWAY, 61, 61, 0)
        flows.learn("twilio", f"+{n + 2}", LOST, 61, 61, 0)
    assert flows.room("twilio", "+9", 61) == 0  # the provider's trouble, by now
    assert flows.room("telnyx", "+3", 61) == 64


def test_a_carrier_that_is_back_is_not_met_with_all_that_waits() -> None:
    flows = Flows(BOUNDS)
    trouble(flows, LOST, ["+1"])
    now, rooms = max(60.2, flows.resumes_at("twilio", "+1")), []
    while len(rooms) < 8:
        room = flows.room("twilio", "+1", now)
        rooms.append(room)
        flows.took("twilio", "+1", room)
        for _ in range(room):
            flows.learn("twilio", "+1", TAKEN, now, now, 0)
            flows.landed("twilio", "+1", now)
        now += 1
    assert rooms[:3] == [1, 2, 8] and rooms[-1] == 64


def test_retry_after_rests_the_sender_that_was_told_and_no_other() -> None:
    flows = Flows(BOUNDS)
    for _ in range(10):
        flows.learn("twilio", "+1", NotAccepted(NotAcceptedReason.THROTTLED, "20429", 30.0), 0, 0, 0)
    assert flows.room("twilio", "+1", 29) == 0 and flows.resumes_at("twilio", "+1") == 30
    assert flows.room("twilio", "+1", 30) == 1
    assert flows.room("twilio", "+2", 0) == 64


@given(st.lists(st.tuples(st.sampled_from([LOST, TAKEN, AWAY, THROTTLED]), st.integers(0, 3)), max_size=120))
def test_whatever_happens_nothing_rests_for_ever_and_no_room_is_lost(story: list[tuple[Outcome, int]]) -> None:
    flows, now = Flows(BOUNDS), 0.0
    flying: list[float] = []
    for outcome, took in story:
        room = min(took, flows.room("twilio", "+1", now))
        flows.took("twilio", "+1", room)
        flying += [now] * room
        if flying:
            began = flying.pop(0)
            flows.learn("twilio", "+1", outcome, began, now, 0.5)
            flows.landed("twilio", "+1", began)
        now += 0.3
    for began in flying:
        flows.landed("twilio", "+1", began)
    now += 10
    assert flows.room("twilio", "+1", now) >= 1
