"""What an attempt was, told by its facts, is what it was told by the evidence."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from dispatcher.attempt import Attempt, Evidence, NeverPosted, NoReceipt, State
from dispatcher.history import Fact, fact_of, retold
from dispatcher.outcome import Accepted, NotAccepted, Rejected, Unknown
from dispatcher.receipt import Delivered, NotDelivered
from hypothesis import given
from hypothesis import strategies as st

from schemas.reasons import FailureReason, NotAcceptedReason, UnresolvedReason
from schemas.topics import TOPIC_OF

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
RID = "11111111-1111-5111-8111-111111111111"
ATTEMPTED = Fact(RID, 1, "SendAttempted", NOON, None, None, None)

EVERY_EVIDENCE: list[Evidence] = [
    Accepted("SM1", 1), Accepted("SM2"), Rejected(FailureReason.LANDLINE, "21635"),
    NotAccepted(NotAcceptedReason.THROTTLED, "20429"), NotAccepted(NotAcceptedReason.UNKNOWN),
    Unknown(UnresolvedReason.TIMEOUT), Unknown(UnresolvedReason.CARRIER_ERROR, "500"), Delivered("SM1", None),
    NotDelivered("SM1", "30003", FailureReason.UNREACHABLE), NoReceipt(), NeverPosted(),
]  # fmt: skip


def lived(evidence: list[Evidence]) -> tuple[Attempt, list[Fact], list[Fact]]:
    """The attempt, and its facts in `dispatches` and in `receipts`. One that was refused and of which the carrier then
    says that it took it is off the queue again, as `store_attempts` has it."""
    attempt = Attempt(RID, 1, "", "", "", State.OPEN)
    facts: dict[str, list[Fact]] = {"dispatches": [ATTEMPTED], "receipts": []}
    for n, one in enumerate(evidence):
        if attempt.state == State.REFUSED and isinstance(one, Accepted | Delivered | NotDelivered):
            attempt.state = State.UNKNOWN
        for event in attempt.apply(one, NOON + n * SECOND):
            facts[TOPIC_OF[type(event)].name].append(fact_of(event))  # type: ignore[arg-type]
    return attempt, facts["dispatches"], facts["receipts"]


def told(facts: Iterable[Fact]) -> Attempt:
    [(attempted_at, attempt)] = retold(facts)
    assert attempted_at == NOON
    return replace(attempt, changed=False)


@given(st.lists(st.sampled_from(EVERY_EVIDENCE), max_size=12))
def test_the_facts_tell_all_that_the_evidence_told(evidence: list[Evidence]) -> None:
    attempt, dispatches, receipts = lived(evidence)
    assert told([*dispatches, *receipts]) == replace(attempt, changed=False)


@given(st.lists(st.sampled_from(EVERY_EVIDENCE), max_size=12), st.integers(0, 12), st.integers(0, 12))
def test_a_relay_that_begins_again_further_back_changes_nothing(
    evidence: list[Evidence], first: int, second: int
) -> None:
    """What one had told up to somewhere, the next tells once more from somewhere before it."""
    attempt, dispatches, receipts = lived(evidence)
    back, reached = sorted((first, second))
    twice = [[*facts[:reached], *facts[min(back, len(facts)) :]] for facts in (dispatches, receipts)]
    assert told([*twice[0], *twice[1]]) == replace(attempt, changed=False)


def test_an_attempt_nobody_told_of_is_none() -> None:
    attempt, dispatches, receipts = lived([Accepted("SM1"), Delivered("SM1", None)])
    assert attempt.state == State.DELIVERED
    assert list(retold([*dispatches[1:], *receipts])) == []


def test_several_lives_follow_each_other() -> None:
    _, first, _ = lived([NotAccepted(NotAcceptedReason.THROTTLED, "20429")])
    _, second, receipts = lived([Accepted("SM1"), Delivered("SM1", None)])
    later = [fact._replace(attempt=2) for fact in (*second, *receipts)]
    assert [(a.attempt, a.state) for _, a in retold([*first, *later])] == [(1, State.REFUSED), (2, State.DELIVERED)]
