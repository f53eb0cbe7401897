from random import Random
from typing import Any

import pytest
from simulator.faults import FaultError, Faults, ReceiptFaults, draw, parse


def test_an_empty_body_is_healthy() -> None:
    assert parse({}) == Faults()


def test_every_key_of_the_contract() -> None:
    body = {
        "latency_ms": 20,
        "reject": {"21211": 0.1, "21610": 0.2},
        "drop_response": 0.05,
        "fail_after_accept": 0.5,
        "throttle_per_s": 100,
        "receipts": {"delay_ms": 0, "repeat": 1, "shuffle": 0.3, "failed": {"30003": 0.25}, "silent": 0.125},
        "seed": 7,
    }
    assert parse(body) == Faults(
        latency_ms=20,
        reject={21211: 0.1, 21610: 0.2},
        drop_response=0.05,
        fail_after_accept=0.5,
        throttle_per_s=100,
        receipts=ReceiptFaults(delay_ms=0, repeat=1, shuffle=0.3, failed={30003: 0.25}, silent=0.125),
        seed=7,
    )


def test_failed_as_a_bare_share_is_unreachable() -> None:
    assert parse({"receipts": {"failed": 0.5}}).receipts.failed == {30003: 0.5}


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ([], "the body must be a JSON object"),
        (None, "the body must be a JSON object"),
        ({"latency": 1}, "unknown key latency"),
        ({"receipts": {"delay": 1}}, "unknown key receipts.delay"),
        ({"fail_before_accept": True}, "unknown key fail_before_accept"),
        ({"receipts": {"thrice": True}}, "unknown key receipts.thrice"),
        ({"drop_response": 1.1}, "drop_response must be a number from 0 to 1"),
        ({"drop_response": "all"}, "drop_response must be a number"),
        ({"drop_response": "0.5"}, "drop_response must be a number"),
        ({"drop_response": None}, "drop_response must be a number"),
        ({"latency_ms": -1}, "latency_ms must be a number"),
        ({"latency_ms": float("nan")}, "latency_ms must be a number"),
        ({"throttle_per_s": -1}, "throttle_per_s must be a number"),
        ({"reject": 0.5}, "reject must be an object"),
        ({"reject": {"busy": 0.5}}, "a carrier code is five digits"),
        ({"reject": {"21211": 2}}, "reject.21211 must be a number"),
        ({"reject": {"21211": 0.6, "21610": 0.6}}, "more than 1 together"),
        ({"receipts": []}, "receipts must be a JSON object"),
        ({"receipts": {"failed": "x"}}, "receipts.failed must be a number"),
        ({"seed": 1.5}, "seed must be an integer"),
    ],
)
def test_what_is_wrong_is_named(body: Any, complaint: str) -> None:
    with pytest.raises(FaultError, match=complaint):
        parse(body)


def test_shares_are_drawn_as_often_as_they_say() -> None:
    rng = Random(1)
    drawn = [draw({21211: 0.25, 21610: 0.5}, rng) for _ in range(4000)]
    assert abs(drawn.count(21211) - 1000) < 120
    assert abs(drawn.count(21610) - 2000) < 120
    assert draw({21211: 1.0}, rng) == 21211
    assert draw({21211: 0.0}, rng) is None
