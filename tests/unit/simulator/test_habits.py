from pathlib import Path

import pytest
import simulator
from simulator.carrier import Carrier
from simulator.decision import Decision
from simulator.faults import parse
from simulator.habits import HABITS

README = Path(simulator.__path__[0]) / "README.md"


def decide(ending: str, **faults: object) -> Decision:
    carrier = Carrier(sent_callbacks=True)
    carrier.behave(parse(faults))
    return carrier.take(f"+1202555{ending}", 0.0)


def test_the_readme_has_a_row_for_each_number() -> None:
    rows = [line for line in README.read_text().splitlines() if line.startswith("| 00")]
    assert rows == [f"| {ending} | {habit.words} |" for ending, habit in HABITS.items()]


def test_only_the_endings_0001_to_0019_misbehave() -> None:
    assert list(HABITS) == [f"{n:04}" for n in range(1, 20)]
    for ending in ("0000", "0020", "0123", "9001"):
        decision = decide(ending)
        assert (decision.status, decision.accepted, decision.cut, decision.hold_ms) == (201, True, False, 0)
        assert [receipt.status for receipt in decision.receipts] == ["sent", "delivered"]


@pytest.mark.parametrize(("ending", "code"), [("0001", 21211), ("0002", 21614), ("0010", 21610)])
def test_rejected_numbers(ending: str, code: int) -> None:
    assert decide(ending) == Decision(400, code)


@pytest.mark.parametrize(
    ("ending", "code"),
    [(f"000{n}", 30000 + n) for n in range(3, 9)] + [("0011", 30034)],
)
def test_failing_numbers_are_taken_and_fail_whatever_else_is_wrong(ending: str, code: int) -> None:
    decision = decide(ending, receipts={"silent": 1, "failed": {"30001": 1}})
    assert (decision.status, decision.accepted, decision.receipts[-1].code) == (201, True, code)


def test_0009_is_silent() -> None:
    assert decide("0009") == Decision(201, accepted=True)


def test_0012_is_taken_answers_500_and_reports_after_3_s() -> None:
    decision = decide("0012", reject={"21211": 1}, drop_response=1, receipts={"silent": 1})
    assert (decision.status, decision.accepted, decision.cut) == (500, True, False)
    assert (decision.receipts[-1].status, decision.receipts[-1].after_ms) == ("delivered", 3000)


def test_0013_is_taken_and_cut_off_and_reports_after_3_s() -> None:
    decision = decide("0013", fail_after_accept=1, receipts={"silent": 1})
    assert (decision.status, decision.accepted, decision.cut) == (201, True, True)
    assert (decision.receipts[-1].status, decision.receipts[-1].after_ms) == ("delivered", 3000)


def test_0014_is_put_off_once_for_each_number() -> None:
    carrier = Carrier(sent_callbacks=True)
    first, again, other = (carrier.take(to, 0.0) for to in ("+12025550014", "+12025550014", "+12035550014"))
    assert (first.status, first.code, first.retry_after_s, first.accepted) == (429, 20429, 1, False)
    assert (again.status, again.accepted) == (201, True)
    assert other.status == 429


def test_0015_answers_after_2_s() -> None:
    assert decide("0015", latency_ms=10).hold_ms == 2000


def test_0016_answers_500_without_taking_it() -> None:
    assert decide("0016") == Decision(500, 20500)


def test_0017_is_undelivered_and_then_delivered() -> None:
    receipts = decide("0017").receipts
    assert [(r.status, r.code) for r in receipts] == [("sent", None), ("undelivered", 30003), ("delivered", None)]
    assert receipts[2].after_ms - receipts[1].after_ms == 1000


def test_0018_reports_three_times() -> None:
    assert [r.status for r in decide("0018").receipts].count("delivered") == 3


def test_0019_reports_after_10_s() -> None:
    assert decide("0019", receipts={"delay_ms": 5}).receipts[-1].after_ms == 10_000


def test_faults_apply_to_these_numbers_where_their_habit_says_nothing() -> None:
    decision = decide("0003", latency_ms=30, drop_response=1, receipts={"delay_ms": 7})
    assert (decision.cut, decision.hold_ms, decision.receipts[-1].after_ms) == (True, 30, 7)
    assert decide("0003", reject={"21610": 1}) == Decision(400, 21610)
