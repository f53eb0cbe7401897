"""An attempt's life: evidence in any order, repeated at will, makes each fact at most once and never less is known."""

from collections import Counter
from datetime import UTC, datetime

import pytest
from dispatcher.attempt import Attempt, Evidence, NeverPosted, NoReceipt, State
from dispatcher.outcome import Accepted, NotAccepted, Rejected, Unknown
from dispatcher.receipt import Delivered, NotDelivered
from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import decode, encode
from schemas.identity import event_id
from schemas.reasons import FailureReason, NotAcceptedReason, UnresolvedReason

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
RID = "11111111-1111-5111-8111-111111111111"

ACCEPTED = Accepted("SM1", 1)
REJECTED = Rejected(FailureReason.LANDLINE, "21635")
NOT_ACCEPTED = NotAccepted(NotAcceptedReason.THROTTLED)
UNKNOWN = Unknown(UnresolvedReason.TIMEOUT)
DELIVERED = Delivered("SM1", None)
NOT_DELIVERED = NotDelivered("SM1", "30003", FailureReason.UNREACHABLE)
EVERY_EVIDENCE: list[Evidence] = [
    ACCEPTED, REJECTED, NOT_ACCEPTED, UNKNOWN, DELIVERED, NOT_DELIVERED, NoReceipt(), NeverPosted(),
]  # fmt: skip


def an_attempt(state: State = State.OPEN) -> Attempt:
    return Attempt(RID, 1, RID, RID, RID, state)


def names(attempt: Attempt, *evidence: Evidence) -> list[str]:
    return [type(event).__name__ for one in evidence for event in attempt.apply(one, NOON)]


@pytest.mark.parametrize(
    ("evidence", "facts", "state"),
    [
        ([ACCEPTED, DELIVERED], ["MessageAccepted", "MessageDelivered"], State.DELIVERED),
        ([DELIVERED, ACCEPTED], ["MessageAccepted", "MessageDelivered"], State.DELIVERED),
        ([UNKNOWN, DELIVERED], ["MessageUnresolved", "MessageAccepted", "MessageDelivered"], State.DELIVERED),
        ([UNKNOWN, ACCEPTED], ["MessageUnresolved", "MessageAccepted"], State.ACCEPTED),
        ([ACCEPTED, UNKNOWN], ["MessageAccepted"], State.ACCEPTED),
        ([REJECTED, UNKNOWN], ["MessageRejected"], State.REJECTED),
        ([UNKNOWN, REJECTED], ["MessageUnresolved", "MessageRejected"], State.REJECTED),
        ([UNKNOWN, NOT_ACCEPTED], ["MessageUnresolved", "SendNotAccepted"], State.REFUSED),
        ([NOT_ACCEPTED, ACCEPTED], ["SendNotAccepted"], State.REFUSED),
        ([ACCEPTED, NOT_ACCEPTED], ["MessageAccepted"], State.ACCEPTED),
        ([NeverPosted()], ["SendNotAccepted"], State.REFUSED),
        ([UNKNOWN, NeverPosted()], ["MessageUnresolved"], State.UNKNOWN),
        ([NOT_DELIVERED, DELIVERED], ["MessageAccepted", "MessageNotDelivered", "MessageDelivered"], State.DELIVERED),
        ([DELIVERED, NOT_DELIVERED], ["MessageAccepted", "MessageDelivered"], State.DELIVERED),
        ([ACCEPTED, NoReceipt()], ["MessageAccepted", "MessageUnconfirmed"], State.UNCONFIRMED),
        ([ACCEPTED, NoReceipt(), DELIVERED], ["MessageAccepted", "MessageUnconfirmed", "MessageDelivered"],
         State.DELIVERED),
        ([NoReceipt()], [], State.OPEN),
    ],
)  # fmt: skip
def test_evidence_makes_facts(evidence: list[Evidence], facts: list[str], state: State) -> None:
    attempt = an_attempt()
    assert (names(attempt, *evidence), attempt.state) == (facts, state)


@given(st.lists(st.sampled_from(EVERY_EVIDENCE), max_size=12))
def test_each_fact_happens_once_and_what_is_final_stays(evidence: list[Evidence]) -> None:
    attempt = an_attempt()
    facts: Counter[str] = Counter()
    for one in evidence:
        before = attempt.state
        facts.update(names(attempt, one))
        assert before not in (State.DELIVERED, State.REJECTED, State.REFUSED) or attempt.state == before
    assert all(count == 1 for count in facts.values())
    decided = facts.keys() & {"MessageAccepted", "MessageRejected", "SendNotAccepted"}
    assert len(decided) <= 1
    assert not facts.keys() & {"MessageDelivered", "MessageNotDelivered"} or "MessageAccepted" in facts


@given(st.lists(st.sampled_from([ACCEPTED, UNKNOWN, DELIVERED, NOT_DELIVERED]), min_size=1), st.randoms())
def test_the_order_of_receipts_does_not_change_the_end(evidence: list[Evidence], random: object) -> None:
    one, other = an_attempt(), an_attempt()
    shuffled = list(evidence)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    names(one, *evidence, DELIVERED)
    names(other, *shuffled, DELIVERED)
    assert one.state == other.state == State.DELIVERED


@pytest.mark.parametrize("evidence", EVERY_EVIDENCE, ids=lambda evidence: type(evidence).__name__)
def test_every_fact_fits_its_schema_and_names_its_cause(evidence: Evidence) -> None:
    for state in State:
        for event in an_attempt(state).apply(evidence, NOON, actor="someone"):
            assert decode(encode(event)) == event
            assert event.caused_by == event_id(RID, "SendAttempted", 1)
            assert event.event_id == event_id(RID, type(event).__name__, 1)
