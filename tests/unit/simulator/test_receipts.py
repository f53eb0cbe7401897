from collections import Counter
from datetime import UTC, datetime, timedelta
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from simulator.faults import ReceiptFaults
from simulator.receipts import Receipt, plan, status_at

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def statuses(faults: ReceiptFaults, seed: int = 1, *, sent_callbacks: bool = True) -> list[str]:
    return [receipt.status for receipt in plan(faults, Random(seed), sent_callbacks=sent_callbacks).receipts]


def test_a_healthy_message_is_sent_and_then_delivered() -> None:
    planned = plan(ReceiptFaults(delay_ms=80), Random(1), sent_callbacks=True)
    assert planned.receipts == (Receipt(40, "sent"), Receipt(80, "delivered"))
    assert planned.hold_answer_ms == 0


def test_without_sent_callbacks_only_the_final_one_is_left() -> None:
    assert statuses(ReceiptFaults(), sent_callbacks=False) == ["delivered"]


def test_a_failure_names_its_code() -> None:
    planned = plan(ReceiptFaults(failed={30005: 1.0}), Random(1), sent_callbacks=True)
    assert planned.receipts[-1] == Receipt(100, "undelivered", 30005)


def test_what_twilio_gave_up_itself_was_never_sent() -> None:
    assert statuses(ReceiptFaults(failed={30034: 1.0})) == ["failed"]


def test_a_silent_message_has_no_receipt() -> None:
    assert statuses(ReceiptFaults(silent=1.0)) == []


def test_a_repeated_receipt_comes_twice() -> None:
    assert statuses(ReceiptFaults(repeat=1.0)) == ["sent", "sent", "delivered", "delivered"]


def test_shuffled_receipts_come_backwards_and_some_overtake_the_answer() -> None:
    plans = [plan(ReceiptFaults(shuffle=1.0), Random(seed), sent_callbacks=True) for seed in range(40)]
    assert {tuple(receipt.status for receipt in planned.receipts) for planned in plans} == {("delivered", "sent")}
    early = [planned for planned in plans if planned.hold_answer_ms > 0]
    assert 0 < len(early) < 40
    assert all(planned.receipts[0].after_ms < planned.hold_answer_ms for planned in early)


def test_a_lone_shuffled_receipt_overtakes_the_answer() -> None:
    assert plan(ReceiptFaults(shuffle=1.0), Random(1), sent_callbacks=False).hold_answer_ms > 0


def test_thrice_is_three_of_each_and_out_of_order() -> None:
    found = statuses(ReceiptFaults(thrice=True), sent_callbacks=False)
    assert Counter(found) == {"sent": 3, "delivered": 3}
    assert found[0] == "delivered" and found[-1] == "sent"


shares = st.floats(0, 1)


@given(st.builds(ReceiptFaults, repeat=shares, shuffle=shares, silent=shares), st.integers())
def test_the_same_randomness_makes_the_same_plan(faults: ReceiptFaults, seed: int) -> None:
    first, again = (plan(faults, Random(seed), sent_callbacks=True) for _ in range(2))
    assert first == again
    assert {receipt.status for receipt in first.receipts} in ({"sent", "delivered"}, set())


def test_a_look_up_shows_what_was_due_by_now() -> None:
    receipts = (Receipt(40, "sent"), Receipt(80, "undelivered", 30003))
    shown = [status_at(receipts, NOON, NOON + timedelta(milliseconds=ms)) for ms in (0, 40, 1000)]
    assert [receipt.status for receipt in shown] == ["queued", "sent", "undelivered"]
    assert shown[-1].code == 30003
