"""A carrier's list proves that a message was taken, if it can be this attempt's alone; its silence proves nothing."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from dispatcher import provider_twilio
from dispatcher.look_up import Asked, Listed, found

NOON = datetime(2026, 3, 1, 12, 0, 0, 400_000, tzinfo=UTC)
ASKED = Asked("+12025550123", "+12025550100", "Hello", NOON)
LISTED = Listed("SM1", ASKED.to, ASKED.sender, ASKED.body, NOON.replace(microsecond=0), "delivered", None)


def test_the_only_message_that_matches_is_the_attempts() -> None:
    assert found(ASKED, [LISTED], []) == LISTED


@pytest.mark.parametrize(
    "other",
    [
        replace(LISTED, body="Hello!"),
        replace(LISTED, to="+12025550124"),
        replace(LISTED, sender="+12025550101"),
        replace(LISTED, created_at=NOON - timedelta(seconds=1)),
        replace(LISTED, created_at=NOON + timedelta(minutes=16)),
    ],
)
def test_another_text_number_sender_or_time_is_not_the_attempts(other: Listed) -> None:
    assert found(ASKED, [other], []) is None


def test_what_is_known_to_be_another_attempts_does_not_count() -> None:
    assert found(ASKED, [LISTED], ["SM1"]) is None
    assert found(ASKED, [LISTED, replace(LISTED, carrier_message_id="SM2")], ["SM1"]) is not None


def test_two_that_match_prove_nothing_and_neither_does_none() -> None:
    assert found(ASKED, [LISTED, replace(LISTED, carrier_message_id="SM2")], []) is None
    assert found(ASKED, [], []) is None


MESSAGE: dict[str, Any] = {
    "sid": "SM1", "to": ASKED.to, "from": ASKED.sender, "body": "Hello", "status": "undelivered", "error_code": 30003,
    "date_created": "Sun, 01 Mar 2026 12:00:00 +0000",
}  # fmt: skip


def test_twilios_list_is_read() -> None:
    body = orjson.dumps({"messages": [MESSAGE], "next_page_uri": None})
    expected = replace(LISTED, status="undelivered", code="30003")
    assert provider_twilio.listed(body) == [expected]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        orjson.dumps({"messages": [MESSAGE], "next_page_uri": "/more"}),
        orjson.dumps({"messages": [{**MESSAGE, "date_created": "yesterday"}]}),
        orjson.dumps({"messages": [{**MESSAGE, "date_created": f"Sun, 01 Mar 2026 {'9' * 20}:00:00 +0000"}]}),
        orjson.dumps({"messages": [{**MESSAGE, "sid": ""}]}),
        orjson.dumps({"messages": [7]}),
    ],
)
def test_a_list_that_is_torn_or_not_whole_proves_nothing(body: bytes) -> None:
    assert provider_twilio.listed(body) is None


def test_the_list_is_asked_for_the_day_of_the_intent_and_later() -> None:
    midnight = replace(ASKED, attempted_at=datetime(2026, 3, 1, tzinfo=UTC))
    query = {"To": ASKED.to, "From": ASKED.sender, "PageSize": "1000"}
    assert provider_twilio.list_query(ASKED) == {**query, "DateSent>": "2026-03-01"}
    assert provider_twilio.list_query(midnight) == {**query, "DateSent>": "2026-02-28"}
