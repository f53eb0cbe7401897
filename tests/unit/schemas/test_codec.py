"""Events to bytes and back, and bytes that are no event."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta, timezone
from io import BytesIO
from typing import Any
from uuid import UUID

import pytest
from fastavro import parse_schema, schemaless_reader, schemaless_writer
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import codec
from schemas.codec import (
    HEADER_BYTES,
    SCHEMA_IDS,
    UndecodableEvent,
    decode,
    encode,
    event_id_of,
    event_type_of,
    from_micros,
    key_of,
    leading_ids,
    published_schema,
    to_micros,
    versions_of,
)
from schemas.events import ClockAdvanced, Event, PersonOptedOut
from schemas.reasons import OptOutSource
from schemas.topics import TOPIC_OF
from tests.unit.schemas.facts import EVENTS, any_of, times

NOON = datetime(2030, 1, 31, 12, tzinfo=UTC)
EVENT_ID = "0b9d6c3a-3f0e-5d6e-8a52-0f0c3f4e7a11"
STOP = PersonOptedOut(
    event_id=EVENT_ID,
    account_id="6a1f4f0e-93f5-4a53-8d0c-3c8a7b6f0001",
    person_id="c0ffee00-0000-4000-8000-000000000001",
    occurred_at=NOON,
    actor="dispatcher",
    caused_by=None,
    number="+12025550123",
    source=OptOutSource.REPLY,
    evidence="Stop!",
)
SUBJECTS = ("event_id", "account_id", "campaign_id", "recipient_id", "person_id")


@pytest.mark.parametrize("event_type", EVENTS)
@settings(max_examples=15, deadline=None)
@given(st.data())
def test_what_was_encoded_is_decoded(event_type: type[Event], data: st.DataObject) -> None:
    event = data.draw(any_of(event_type))
    value = encode(event)
    assert decode(value) == event
    assert encode(decode(value)) == value
    assert event_type_of(value) == event_type.__name__
    assert event_id_of(value) == event.event_id
    ids = tuple(getattr(event, name) for name in SUBJECTS if hasattr(event, name))
    assert leading_ids(value, len(ids)) == ids and leading_ids(value, len(ids) + 1) is None
    assert leading_ids(value[: HEADER_BYTES + 36], 1) is None and leading_ids(b"\xff" + value, 1) is None
    key = TOPIC_OF[event_type].key
    assert key_of(event) == (None if key is None else getattr(event, key).encode())


@pytest.mark.parametrize("event_type", EVENTS)
@settings(max_examples=5, deadline=None)
@given(st.data())
def test_a_stock_reader_with_the_published_schema_sees_the_same(event_type: type[Event], data: st.DataObject) -> None:
    event = data.draw(any_of(event_type))
    schema = parse_schema(published_schema(versions_of(event_type)[-1]))
    record = schemaless_reader(BytesIO(encode(event)[HEADER_BYTES:]), schema)
    assert as_ours(record) == asdict(event)


VERSIONED = [event for event in EVENTS if len(versions_of(event)) > 1]


@pytest.mark.parametrize("event_type", VERSIONED)
@settings(max_examples=5, deadline=None)
@given(st.data())
def test_versions_read_each_other_and_ours_reads_them_all(event_type: type[Event], data: st.DataObject) -> None:
    event = data.draw(any_of(event_type))
    first, *_, last = versions_of(event_type)
    old, new = parse_schema(published_schema(first)), parse_schema(published_schema(last))
    forwards = BytesIO(encode(event)[HEADER_BYTES:])
    known = schemaless_reader(forwards, new, old, return_record_name=False)
    assert set(known) == {field["name"] for field in published_schema(first)["fields"]}
    body = BytesIO()
    schemaless_writer(body, old, known)
    backwards = schemaless_reader(BytesIO(body.getvalue()), old, new)
    written_then = codec.MAGIC + SCHEMA_IDS[first].to_bytes(4, "big") + body.getvalue()
    assert as_ours(backwards) == asdict(decode(written_then))


def as_ours(record: Mapping[str, Any]) -> dict[str, Any]:
    """A stock reader's values as our events have them."""
    kinds: dict[type, Callable[[Any], Any]] = {UUID: str, list: tuple}
    return {name: kinds.get(type(value), lambda v: v)(value) for name, value in record.items()}


def test_the_bytes_of_an_event_stay_what_they_are() -> None:
    first = (
        "0000000011"
        "48" + EVENT_ID.encode().hex() + "48" + STOP.account_id.encode().hex() + "48" + STOP.person_id.encode().hex()
        + "80c080a7849fde06" + "14" + b"dispatcher".hex() + "00" + "18" + b"+12025550123".hex() + "02" + "0a"
        + b"Stop!".hex()
    )  # fmt: skip
    assert decode(bytes.fromhex(first)) == STOP
    assert encode(STOP).hex() == first.replace("0000000011", "000000002e", 1) + "00"  # the second version: `reply`


def test_columns_keep_their_order() -> None:
    clock = ClockAdvanced(
        event_id=EVENT_ID, occurred_at=NOON, actor="send-intake", caused_by=None, at=NOON,
        campaigns_offsets={"2": 1, "0": 5, "1": 3},
    )  # fmt: skip
    again = decode(encode(clock))
    assert isinstance(again, ClockAdvanced)
    assert list(again.campaigns_offsets) == ["2", "0", "1"]


@given(times)
def test_times_are_exact_to_the_microsecond(time: datetime) -> None:
    assert from_micros(to_micros(time)) == time


def test_a_time_of_another_zone_is_the_same_moment() -> None:
    elsewhere = NOON.astimezone(timezone(timedelta(hours=-5)))
    assert encode(replace(STOP, occurred_at=elsewhere)) == encode(STOP)


@pytest.mark.parametrize("change", [{"number": None}, {"occurred_at": NOON.replace(tzinfo=None)}, {"evidence": 7}])
def test_an_event_that_does_not_fit_is_not_encoded(change: dict[str, object]) -> None:
    with pytest.raises((ValueError, TypeError)):
        encode(replace(STOP, **change))  # type: ignore[arg-type]


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_an_event_or_undecodable(value: bytes) -> None:
    _event_or_undecodable(value)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(SCHEMA_IDS.values())), st.binary(max_size=300))
def test_any_bytes_behind_a_good_header_are_an_event_or_undecodable(schema_id: int, body: bytes) -> None:
    _event_or_undecodable(codec.MAGIC + schema_id.to_bytes(4, "big") + body)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_event_is_an_event_or_undecodable(data: st.DataObject) -> None:
    value = bytearray(encode(STOP))
    for _ in range(data.draw(st.integers(1, 4))):
        value[data.draw(st.integers(0, len(value) - 1))] = data.draw(st.integers(0, 255))
    _event_or_undecodable(bytes(value))


def _event_or_undecodable(value: bytes) -> None:
    try:
        event = decode(value)
    except UndecodableEvent:
        return
    assert isinstance(event, Event)


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"\x00",
        b"\x00\x00\x00\x00\x00",
        b"{}",
        b"\x01" + encode(STOP)[1:],
        (10_000).to_bytes(5, "big") + encode(STOP)[HEADER_BYTES:],
        encode(STOP)[:-1],
        encode(STOP) + b"\x00",
    ],
)
def test_what_is_no_event_is_undecodable(value: bytes | None) -> None:
    with pytest.raises(UndecodableEvent):
        decode(value)


def test_what_is_said_of_undecodable_bytes_shows_nothing_of_a_person() -> None:
    for value in (encode(STOP)[:-1], encode(STOP) + b"+12025550123"):
        with pytest.raises(UndecodableEvent) as said:
            decode(value)
        assert "2025550123" not in str(said.value) and "Stop" not in str(said.value)


def test_the_published_schemas_keep_their_logical_types() -> None:
    assert "timestamp-micros" in json.dumps(published_schema("clock/ClockAdvanced"))
