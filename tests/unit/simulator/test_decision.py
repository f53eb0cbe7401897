from random import Random

from hypothesis import given
from hypothesis import strategies as st
from simulator.carrier import Carrier
from simulator.decision import Throttle, decide
from simulator.faults import Faults, parse


def test_a_rejected_message_is_not_taken() -> None:
    decision = decide(Faults(reject={21610: 1.0}, drop_response=1.0), Random(1), sent_callbacks=True)
    assert (decision.status, decision.code, decision.accepted, decision.cut) == (400, 21610, False, False)


def test_a_dropped_response_is_taken_and_would_have_been_a_201() -> None:
    decision = decide(Faults(drop_response=1.0), Random(1), sent_callbacks=True)
    assert (decision.status, decision.accepted, decision.cut) == (201, True, True)
    assert decision.receipts


def test_fail_after_accept_is_taken_and_answers_500() -> None:
    decision = decide(Faults(fail_after_accept=1.0), Random(1), sent_callbacks=True)
    assert (decision.status, decision.code, decision.accepted) == (500, 20500, True)
    assert decision.receipts


@given(st.integers(1, 20), st.lists(st.floats(0, 0.3), max_size=200))
def test_no_second_sees_more_than_the_throttle_allows(per_s: int, pauses: list[float]) -> None:
    throttle, now, passed = Throttle(per_s), 0.0, list[float]()
    for pause in pauses:
        now += pause
        if throttle.passes(now):
            passed.append(now)
    for start in passed:
        assert sum(start <= at < start + 1 for at in passed) <= per_s


def test_a_throttle_of_0_lets_nobody_through_and_none_everybody() -> None:
    assert not Throttle(0).passes(0.0)
    assert all(Throttle(None).passes(0.0) for _ in range(1000))


def test_a_throttle_below_1_spreads_over_seconds() -> None:
    throttle = Throttle(0.5)
    assert [throttle.passes(now) for now in (0.0, 1.0, 1.9, 2.0)] == [True, False, False, True]


def test_new_faults_replace_all_of_the_old_ones() -> None:
    carrier = Carrier(sent_callbacks=True)
    carrier.behave(parse({"throttle_per_s": 0, "reject": {"21211": 1}}))
    assert carrier.take("+12025551234", 0.0).status == 429
    carrier.behave(parse({"latency_ms": 5}))
    decision = carrier.take("+12025551234", 0.0)
    assert (decision.status, decision.hold_ms) == (201, 5)
