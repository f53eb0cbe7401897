"""The witnesses of unknown outcomes: what explains one, and that nothing else does."""

import pytest

from schemas.reasons import UnresolvedReason
from tests.chaos.wire import Call
from tests.chaos.witness import RECORD_S, Struck, Unknown, hear

KEY = ("a recipient", 1)
DIED = UnresolvedReason.PROCESS_KILLED
KILL = Struck("kill of dispatcher", ("one",), 100.0)
CUT = Struck("cut of a wire", ("one",), 100.0)


def call(
    begun: float, ended: float | None = None, status: int | None = None, cut: bool = False, wire: str = "one"
) -> Call:
    return Call(KEY, wire, begun, ended, status, cut)


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (call(99.9), "under way"),
        (call(99.9, 100.2, 201), "under way"),
        (call(99.0, 99.9, 201), "answered, not recorded"),
        (None, "committed, not sent"),
    ],
)
def test_an_outcome_that_died_with_its_process_was_under_way(made: Call | None, why: str) -> None:
    heard = hear([Unknown(KEY, DIED)], {KEY: [made]} if made else {}, [KILL], 64)
    assert (heard.problems, heard.why) == ([], {why: 1})


@pytest.mark.parametrize(
    ("made", "blows"),
    [
        (call(99.9), []),
        (call(99.9), [CUT]),
        (call(99.9, wire="another"), [KILL]),
        (call(102.0), [KILL]),
        (call(80.0, 99.9 - RECORD_S, 201), [KILL]),
    ],
    ids=["no blow", "a cut kills nobody", "another dispatcher's", "begun after it", "answered long before it"],
)
def test_one_that_nothing_explains_is_a_problem(made: Call, blows: list[Struck]) -> None:
    assert hear([Unknown(KEY, DIED)], {KEY: [made]}, blows, 64).problems


@pytest.mark.parametrize(
    ("reason", "made", "fine"),
    [
        (UnresolvedReason.CONNECTION_LOST, call(1, 2), True),
        (UnresolvedReason.CONNECTION_LOST, call(1, 2, 201, cut=True), True),
        (UnresolvedReason.CONNECTION_LOST, call(1, 2, 201), False),
        (UnresolvedReason.CARRIER_ERROR, call(1, 2, 500), True),
        (UnresolvedReason.CARRIER_ERROR, call(1, 2, 201), False),
        (UnresolvedReason.CARRIER_ERROR, call(1, 2, 429), False),
        (UnresolvedReason.TIMEOUT, call(1, 16.5), True),
        (UnresolvedReason.TIMEOUT, call(1, 2, 201), False),
        (UnresolvedReason.UNKNOWN, call(1, 2), False),
    ],
)
def test_what_was_seen_of_a_post_is_what_passed_on_its_wire(reason: str, made: Call, fine: bool) -> None:
    assert bool(hear([Unknown(KEY, reason)], {KEY: [made]}, [], 64).problems) is not fine


def test_a_blow_leaves_no_more_unknown_than_a_dispatcher_has_connections() -> None:
    keys = [(f"recipient {n}", 1) for n in range(3)]
    calls = {key: [Call(key, "one", 99.9)] for key in keys}
    unknowns = [Unknown(key, DIED) for key in keys]
    assert hear(unknowns, calls, [KILL], 3).problems == []
    assert hear(unknowns, calls, [KILL], 3).most_at_once == 3
    assert len(hear(unknowns, calls, [KILL], 2).problems) == 1


def test_under_a_key_any_of_the_calls_may_explain_it() -> None:
    calls = {KEY: [call(1, 2), call(3, 4, 500)]}
    assert hear([Unknown(KEY, UnresolvedReason.CARRIER_ERROR)], calls, [], 64).problems == []
