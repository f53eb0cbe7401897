"""The outcome table of the design, complete: whatever can be seen of a POST proves exactly one thing."""

import orjson
import pytest
from dispatcher import provider_smpp, provider_telnyx, provider_twilio
from dispatcher.outcome import (
    TABLE,
    Accepted,
    Again,
    Answer,
    Key,
    NoAnswer,
    NotAccepted,
    Rejected,
    Said,
    Unknown,
    classify,
)
from hypothesis import given
from hypothesis import strategies as st

from schemas.reasons import FailureReason, NotAcceptedReason, UnresolvedReason

TAKEN = orjson.dumps({"sid": "SM1", "status": "queued", "num_segments": "2"})


def twilio(status: int, body: bytes, retry_after_s: float | None = None) -> Answer:
    return provider_twilio.answer(status, body, retry_after_s)


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
        (twilio(201, TAKEN), Accepted("SM1", 2)),
        (twilio(200, TAKEN), Accepted("SM1", 2)),
        (twilio(201, b'{"sid": "SM1"}'), Accepted("SM1", None)),
        (twilio(201, b""), Unknown(UnresolvedReason.UNREADABLE_ANSWER)),
        (twilio(201, b"<html>"), Unknown(UnresolvedReason.UNREADABLE_ANSWER)),
        (twilio(201, b'{"sid": ""}'), Unknown(UnresolvedReason.UNREADABLE_ANSWER)),
        (twilio(201, b'{"sid": 7}'), Unknown(UnresolvedReason.UNREADABLE_ANSWER)),
        (twilio(201, b'["SM1"]'), Unknown(UnresolvedReason.UNREADABLE_ANSWER)),
        (twilio(204, b""), Unknown(UnresolvedReason.UNREADABLE_ANSWER)),
        (twilio(429, refusal(20429)), NotAccepted(NotAcceptedReason.THROTTLED, "20429")),
        (twilio(429, b"", 7.0), NotAccepted(NotAcceptedReason.THROTTLED, None, 7.0)),
        (twilio(400, refusal(21211)), Rejected(FailureReason.INVALID_NUMBER, "21211")),
        (twilio(400, refusal(21610)), Rejected(FailureReason.OPTED_OUT, "21610")),
        (twilio(400, refusal(99999)), Rejected(FailureReason.UNKNOWN, "99999")),
        (twilio(401, refusal(20003)), Rejected(FailureReason.ACCOUNT, "20003")),
        (twilio(404, b"not json"), Rejected(FailureReason.UNKNOWN, None)),
        (twilio(408, b""), Unknown(UnresolvedReason.CARRIER_ERROR, "408")),
        (twilio(409, b""), Unknown(UnresolvedReason.CARRIER_ERROR, "409")),
        (twilio(425, b""), Unknown(UnresolvedReason.CARRIER_ERROR, "425")),
        (twilio(500, refusal(20500)), Unknown(UnresolvedReason.CARRIER_ERROR, "20500")),
        (twilio(503, b""), Unknown(UnresolvedReason.CARRIER_ERROR, "503")),
        (twilio(307, b""), Unknown(UnresolvedReason.CARRIER_ERROR, "307")),
        (twilio(100, b""), Unknown(UnresolvedReason.CARRIER_ERROR, "100")),
    ],
)
def test_what_was_seen_proves(seen: Answer | NoAnswer, outcome: object) -> None:
    assert classify(seen) == outcome


@given(st.integers(100, 599), st.binary(max_size=200) | st.just(TAKEN) | st.integers(0, 99999).map(refusal))
def test_only_what_surely_was_not_taken_is_sent_again(status: int, body: bytes) -> None:
    outcome = classify(twilio(status, body))
    assert isinstance(outcome, NotAccepted) == (status == 429)
    assert isinstance(outcome, Rejected) == (400 <= status < 500 and status not in (408, 409, 425, 429))
    assert not isinstance(outcome, Accepted) or (200 <= status < 300 and outcome.carrier_message_id)


@pytest.mark.parametrize("no_answer", NoAnswer)
def test_every_silence_has_a_meaning(no_answer: NoAnswer) -> None:
    assert isinstance(classify(no_answer), NotAccepted | Unknown)


def test_the_table_has_a_row_for_all_that_can_be_seen() -> None:
    assert set(TABLE) == {*NoAnswer, *Said}


@pytest.mark.parametrize("row", [*NoAnswer, *Said])
def test_only_a_key_makes_it_safe_to_ask_again(row: NoAnswer | Said) -> None:
    seen = row if isinstance(row, NoAnswer) else Answer(row, "id")
    assert not isinstance(classify(seen, Key.NONE), Again)


@pytest.mark.parametrize("row", [*NoAnswer, *Said])
def test_a_repeat_never_proves_that_nothing_was_taken(row: NoAnswer | Said) -> None:
    """What is put back to waiting gets a new attempt with a new key: an earlier POST must not have been taken."""
    seen = row if isinstance(row, NoAnswer) else Answer(row, "id")
    assert not isinstance(classify(seen, Key.REPEATED), NotAccepted)


@pytest.mark.parametrize("key", Key)
def test_a_broken_answer_is_unknown_with_or_without_a_key_for_failures_are_not_replayed(key: Key) -> None:
    assert classify(Answer(Said.BROKEN, carrier_code="500"), key) == Unknown(UnresolvedReason.CARRIER_ERROR, "500")


def telnyx(status: int, body: object = None) -> Answer:
    return provider_telnyx.answer(status, orjson.dumps(body))


def telnyx_refusal(code: str) -> object:
    return {"errors": [{"code": code, "title": "no"}]}


@pytest.mark.parametrize(
    ("seen", "first", "repeated"),
    [
        (telnyx(200, {"data": {"id": "m1", "parts": 2}}), Accepted("m1", 2), Accepted("m1", 2)),
        (telnyx(200, {"data": {}}), "again: unreadable_answer", "again: unreadable_answer"),
        (NoAnswer.TIMEOUT, "again: timeout", "again: timeout"),
        (NoAnswer.CONNECTION_LOST, "again: connection_lost", "again: connection_lost"),
        (NoAnswer.PROCESS_KILLED, "again: process_killed", "again: process_killed"),
        (telnyx(409), "again: carrier_error", "again: carrier_error"),
        (telnyx(408), "again: carrier_error", "again: carrier_error"),
        (telnyx(425), "again: carrier_error", "again: carrier_error"),
        (NoAnswer.NOTHING_WRITTEN, NotAccepted(NotAcceptedReason.COULD_NOT_CONNECT), "again: connection_lost"),
        (telnyx(429), NotAccepted(NotAcceptedReason.THROTTLED), "again: carrier_error"),
        (
            telnyx(400, telnyx_refusal("40318")),
            NotAccepted(NotAcceptedReason.THROTTLED, "40318"),
            "again: carrier_error",
        ),
        (telnyx(400, telnyx_refusal("40300")), *[Rejected(FailureReason.OPTED_OUT, "40300")] * 2),
        (telnyx(400, telnyx_refusal("40310")), *[Rejected(FailureReason.INVALID_NUMBER, "40310")] * 2),
        (telnyx(401, telnyx_refusal("10009")), Rejected(FailureReason.ACCOUNT, "10009"), "again: carrier_error"),
        (telnyx(404), Rejected(FailureReason.UNKNOWN, None), "again: carrier_error"),
        (telnyx(422), Rejected(FailureReason.UNKNOWN, None), Unknown(UnresolvedReason.CARRIER_ERROR, None)),
        (telnyx(500), *[Unknown(UnresolvedReason.CARRIER_ERROR, "500")] * 2),
        (telnyx(302), *[Unknown(UnresolvedReason.CARRIER_ERROR, "302")] * 2),
    ],
)
def test_what_a_carrier_with_keys_says_proves(seen: Answer | NoAnswer, first: object, repeated: object) -> None:
    for key, proven in ((Key.FIRST, first), (Key.REPEATED, repeated)):
        result = classify(seen, key)
        assert (f"again: {result.doubt.reason}" if isinstance(result, Again) else result) == proven


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (0x00, b"abc\0", Accepted("abc")),
        (0x00, b"\0", Unknown(UnresolvedReason.UNREADABLE_ANSWER)),
        (0x00, b"", Unknown(UnresolvedReason.UNREADABLE_ANSWER)),
        (0x58, b"", NotAccepted(NotAcceptedReason.THROTTLED, "0x00000058")),
        (0x14, b"\0", NotAccepted(NotAcceptedReason.THROTTLED, "0x00000014")),
        (0x04, b"\0", NotAccepted(NotAcceptedReason.THROTTLED, "0x00000004")),
        (0x0B, b"\0", Rejected(FailureReason.INVALID_NUMBER, "0x0000000b")),
        (0x0A, b"\0", Rejected(FailureReason.UNREGISTERED_SENDER, "0x0000000a")),
        (0x45, b"\0", Rejected(FailureReason.UNKNOWN, "0x00000045")),
        (0x410, b"\0", Rejected(FailureReason.UNKNOWN, "0x00000410")),
        (0x08, b"\0", Unknown(UnresolvedReason.CARRIER_ERROR, "0x00000008")),
        (0xFF, b"\0", Unknown(UnresolvedReason.CARRIER_ERROR, "0x000000ff")),
    ],
)
def test_what_a_submit_sm_resp_says_proves(status: int, body: bytes, outcome: object) -> None:
    assert classify(provider_smpp.answer(status, body)) == outcome
