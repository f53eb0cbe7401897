"""Records of the log as they are shown."""

import io
import json
from dataclasses import fields, replace
from typing import Any

import fastavro
import pytest
from handsent import log_view
from handsent.log_view import MASK, PERSONAL, Seen, as_avro, as_json, as_line, avro_schema, hex_lines, is_of
from kernel.testing import CAMPAIGN, NOON, clock, created, processed

from schemas.codec import encode, published_schema
from schemas.events import PersonOptedOut, RecipientAdded, RecipientProcessed
from schemas.topics import TOPIC_OF

SECRET = ("+12020000001", "Hello")
OPT_OUT = b"\x00\x00\x00\x00\x63 call +12020000001"


def seen(value: bytes | None, topic: str = "processed") -> Seen:
    return log_view.seen(topic, 2, 17, 1_772_366_400_000, b"a key", value)


PRESS = seen(encode(processed(1)))
UNREADABLE = seen(OPT_OUT)


def test_what_a_schema_marks_is_what_is_closed() -> None:
    assert PERSONAL[RecipientProcessed] == {"number", "text"}
    assert {"number", "columns"} <= PERSONAL[RecipientAdded]
    assert {"number", "evidence"} <= PERSONAL[PersonOptedOut]
    for event_type, closed in PERSONAL.items():
        schema = published_schema(f"{TOPIC_OF[event_type].name}/{event_type.__name__}")
        assert {field["name"] for field in schema["fields"] if field.get("pii")} <= closed
        if "number" in {field.name for field in fields(event_type)}:
            assert "number" in closed


@pytest.mark.parametrize("show", [as_json, as_line])
def test_personal_fields_are_shown_only_when_asked_for(show: Any) -> None:
    assert not any(word in show(PRESS, pii=False) for word in SECRET)
    assert all(word in show(PRESS, pii=True) for word in SECRET)


def test_a_line_of_json_says_where_when_and_what() -> None:
    found = json.loads(as_json(PRESS, pii=False))
    event = found.pop("event")
    assert found == {
        "topic": "processed", "partition": 2, "offset": 17, "appended_at": "2026-03-01T12:00:00Z", "key": "a key",
        "type": "RecipientProcessed",
    }  # fmt: skip
    assert (event["campaign_id"], event["number"], event["due_at"]) == (CAMPAIGN, MASK, "2026-03-01T12:00:00Z")
    assert list(event) == [field.name for field in fields(RecipientProcessed)]


def test_a_line_for_people_is_one_line() -> None:
    text = seen(encode(replace(processed(1), text="two\nlines")))
    assert "\n" not in as_line(text, pii=True)
    assert as_line(PRESS, pii=False).startswith("2026-03-01T12:00:00Z processed-2@17 RecipientProcessed event_id=")


def test_a_list_s_columns_keep_their_headers() -> None:
    added = RecipientAdded(
        event_id=CAMPAIGN, account_id=CAMPAIGN, campaign_id=CAMPAIGN, recipient_id=CAMPAIGN, person_id=CAMPAIGN,
        occurred_at=NOON, actor="u", caused_by=None, position=1, number="+12020000001", columns={"City": "Bath"},
    )  # fmt: skip
    assert json.loads(as_json(seen(encode(added)), pii=False))["event"]["columns"] == {"City": MASK}


@pytest.mark.parametrize("value", [OPT_OUT, b"", None, encode(processed(1))[:-3]])
def test_what_cannot_be_read_is_shown_as_such_and_closed(value: bytes | None) -> None:
    record = seen(value)
    assert (record.type, record.event) == ("undecodable", None)
    found = json.loads(as_json(record, pii=False))
    assert (found["type"], found["offset"], found["bytes"]) == ("undecodable", 17, len(value or b""))
    assert found["error"]
    assert not any(word in as_json(record, pii=False) + as_line(record, pii=False) for word in SECRET)
    assert json.loads(as_json(record, pii=True))["hex"] == (value or b"").hex()


def test_a_campaign_s_events_are_its_own_and_what_may_be() -> None:
    assert is_of(PRESS, None) and is_of(PRESS, CAMPAIGN)
    assert not is_of(PRESS, "another")
    assert is_of(UNREADABLE, "another"), "it may be the campaign's"
    assert not is_of(seen(encode(clock(NOON, {}))), CAMPAIGN)


@pytest.mark.parametrize("pii", [True, False])
def test_an_avro_file_reads_back_what_was_put_in(pii: bool) -> None:
    out = io.BytesIO()
    schema = fastavro.parse_schema(avro_schema(tuple(TOPIC_OF)))
    records = [PRESS, seen(encode(created()), "campaigns"), seen(encode(clock(NOON, {0: 3})), "clock"), UNREADABLE]
    fastavro.writer(out, schema, [as_avro(record, pii) for record in records])
    out.seek(0)
    press, campaign, time, unreadable = fastavro.reader(out)
    assert press["event"]["number"] == (SECRET[0] if pii else MASK)
    assert press["event"]["due_at"] == press["appended_at"] == NOON
    assert campaign["event"]["name"] == "Spring"
    assert time["event"]["campaigns_offsets"] == {"0": 3}
    assert (unreadable["event"], unreadable["value"]) == (None, OPT_OUT if pii else None)
    assert unreadable["error"]


def test_bytes_are_shown_sixteen_a_line() -> None:
    assert hex_lines(bytes(range(20)), 64) == [
        "000000  00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f",
        "000010  10 11 12 13",
    ]
    assert hex_lines(b"abc", 2) == ["000000  61 62"]
