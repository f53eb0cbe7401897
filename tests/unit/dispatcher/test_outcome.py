"""The outcome table of the design, complete: whatever can be seen of a POST proves exactly one thing."""

import orjson
import pytest
from dispatcher.outcome import Accepted, Answer, NoAnswer, NotAccepted, Rejected, Unknown, classify
from hypothesis import given
from hypothesis import strategies as st

from schemas.reasons import FailureReason, NotAcceptedReason, UnresolvedReason

TAKEN = orjson.dumps({"sid": "SM1", "status": "queued", "num_segments": "2"})


def refusal(code: int) -> bytes:
    return orjson.dumps({"code": code, "message": "no", "status": 400})


@pytest.mark.parametrize(
    ("seen", "outcome"),
    [
        (NoAnswer.NOTHING_WRITTEN, NotAccepted(NotAcceptedReason.COULD_NOT_CONNECT)),
        (NoAnswer.EXPIRED, NotAccepted(NotAcceptedReason.INTENT_EXPIRED)),
        (NoAnswer.TIMEOUT, Unknown(UnresolvedReason.TIMEOUT)),
        (NoAnswer.CONNECTION_LOST, Unknown(UnresolvedReason.CONNECTION_LOST)),
        (NoAnswer.PROCESS_KILLED, Unknown(UnresolvedReason.PROCESS_KILLED)),
        (Answer(201, TAKEN), Accepted("SM1", 2)),
        (Answer(200, TAKEN), Accepted("SM1", 2)),
        (Answer(201, b'{"sid": "SM1"}'), Accepted("SM1", None)),
        (Answer(201, b""), Unknown(UnresolvedReason.UNREADABLE_ANSWER)),
        (Answer(201, b"<html>"), Unknown(UnresolvedReason.UNREADABLE_ANSWER)),
        (Answer(201, b'{"sid": ""}'), Unknown(UnresolvedReason.UNREADABLE_ANSWER)),
        (Answer(201, b'{"sid": 7}'), Unknown(UnresolvedReason.UNREADABLE_ANSWER)),
        (Answer(201, b'["SM1"]'), Unknown(UnresolvedReason.UNREADABLE_ANSWER)),
        (Answer(204, b""), Unknown(UnresolvedReason.UNREADABLE_ANSWER)),
        (Answer(429, refusal(20429)), NotAccepted(NotAcceptedReason.THROTTLED, "20429")),
        (Answer(429, b"", 7.0), NotAccepted(NotAcceptedReason.THROTTLED, None, 7.0)),
        (Answer(400, refusal(21211)), Rejected(FailureReason.INVALID_NUMBER, "21211")),
        (Answer(400, refusal(21610)), Rejected(FailureReason.OPTED_OUT, "21610")),
        (Answer(400, refusal(99999)), Rejected(FailureReason.UNKNOWN, "99999")),
        (Answer(401, refusal(20003)), Rejected(FailureReason.ACCOUNT, "20003")),
        (Answer(404, b"not json"), Rejected(FailureReason.UNKNOWN, None)),
        (Answer(408, b""), Unknown(UnresolvedReason.CARRIER_ERROR, "408")),
        (Answer(409, b""), Unknown(UnresolvedReason.CARRIER_ERROR, "409")),
        (Answer(425, b""), Unknown(UnresolvedReason.CARRIER_ERROR, "425")),
        (Answer(500, refusal(20500)), Unknown(UnresolvedReason.CARRIER_ERROR, "20500")),
        (Answer(503, b""), Unknown(UnresolvedReason.CARRIER_ERROR, "503")),
        (Answer(307, b""), Unknown(UnresolvedReason.CARRIER_ERROR, "307")),
        (Answer(100, b""), Unknown(UnresolvedReason.CARRIER_ERROR, "100")),
    ],
)
def test_what_was_seen_proves(seen: Answer | NoAnswer, outcome: object) -> None:
    assert classify(seen) == outcome


@given(st.integers(100, 599), st.binary(max_size=200) | st.just(TAKEN) | st.integers(0, 99999).map(refusal))
def test_only_what_surely_was_not_taken_is_sent_again(status: int, body: bytes) -> None:
    outcome = classify(Answer(status, body))
    assert isinstance(outcome, NotAccepted) == (status == 429)
    assert isinstance(outcome, Rejected) == (400 <= status < 500 and status not in (408, 409, 425, 429))
    assert not isinstance(outcome, Accepted) or (200 <= status < 300 and outcome.carrier_message_id)


@pytest.mark.parametrize("no_answer", NoAnswer)
def test_every_silence_has_a_meaning(no_answer: NoAnswer) -> None:
    assert isinstance(classify(no_answer), NotAccepted | Unknown)
