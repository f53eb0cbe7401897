"""Records of the log as people and scripts see them: decoded, and closed where they are personal."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from schemas.codec import UndecodableEvent, decode, from_micros, published_schema, versions_of
from schemas.events import Event
from schemas.topics import TOPIC_OF

MASK = "***"


def _marked(event_type: type[Event]) -> frozenset[str]:
    schema = published_schema(versions_of(event_type)[-1])
    return frozenset(field["name"] for field in schema["fields"] if field.get("pii")) | {"number"}


# The fields of each event that its schema marks as personal.
PERSONAL = {event_type: _marked(event_type) for event_type in TOPIC_OF}


@dataclass(frozen=True, slots=True)
class Seen:
    """One record. `event` is what it says, or None; then `error` tells why it cannot be read."""

    topic: str
    partition: int
    offset: int
    appended_at: datetime
    key: str | None
    value: bytes
    event: Event | None
    error: str | None = None
    opened: Mapping[str, Any] | None = None  # the event's fields with what is sealed in them open

    @property
    def type(self) -> str:
        return "undecodable" if self.event is None else type(self.event).__name__


def seen(topic: str, partition: int, offset: int, timestamp_ms: int, key: bytes | None, value: bytes | None) -> Seen:
    """What a record of Kafka says."""
    about = (topic, partition, offset, from_micros(timestamp_ms * 1000), _text(key), value or b"")
    try:
        return Seen(*about, decode(value))
    except UndecodableEvent as error:
        return Seen(*about, None, str(error))


def is_of(record: Seen, campaign_id: str | None) -> bool:
    """Whether it is about the campaign. What cannot be read may be, and is never left out."""
    return campaign_id is None or record.event is None or getattr(record.event, "campaign_id", None) == campaign_id


def fields(record: Seen, pii: bool) -> dict[str, Any]:
    """The event's fields in their order; personal ones masked unless `pii`, and then as far as they were opened."""
    assert record.event is not None
    if pii:
        return dict(record.opened or asdict(record.event))
    closed = PERSONAL[type(record.event)]
    return {name: _masked(value) if name in closed else value for name, value in asdict(record.event).items()}


def as_json(record: Seen, pii: bool) -> str:
    """One line of JSON. The bytes of an undecodable record are personal as a whole."""
    about: dict[str, Any] = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "appended_at": record.appended_at,
        "key": record.key,
        "type": record.type,
    }
    if record.event is not None:
        about["event"] = fields(record, pii)
    else:
        about |= {"error": record.error, "bytes": len(record.value)} | ({"hex": record.value.hex()} if pii else {})
    return json.dumps(about, default=_plain, ensure_ascii=False)


def as_line(record: Seen, pii: bool) -> str:
    """One line for a person: when, where, what, and what it says beyond that."""
    if record.event is None:
        says = f"{record.error} ({len(record.value)} bytes)"
    else:
        shown = fields(record, pii)
        says = " ".join(f"{name}={_short(value)}" for name, value in shown.items() if value is not None)
    return f"{_plain(record.appended_at)} {record.topic}-{record.partition}@{record.offset} {record.type} {says}"


def hex_lines(value: bytes, limit: int) -> list[str]:
    """The first bytes, 16 a line behind their place."""
    head = value[:limit]
    return [f"{at:06x}  {head[at : at + 16].hex(' ')}" for at in range(0, len(head), 16)]


def avro_schema(event_types: tuple[type[Event], ...]) -> dict[str, Any]:
    """An object container's schema: the record's place, its event as published, and of an unreadable one its bytes."""
    known: set[str] = set()
    events = [_once(published_schema(versions_of(event)[-1]), known) for event in event_types]
    return {
        "type": "record",
        "name": "Recorded",
        "namespace": "handsent.export",
        "fields": [
            {"name": "topic", "type": "string"},
            {"name": "partition", "type": "int"},
            {"name": "offset", "type": "long"},
            {"name": "appended_at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
            {"name": "key", "type": ["null", "string"]},
            {"name": "event", "type": ["null", *events]},
            {"name": "error", "type": ["null", "string"]},
            {"name": "value", "type": ["null", "bytes"], "doc": "Of an event that cannot be read, with --pii."},
        ],
    }


def _once(schema: Any, known: set[str]) -> Any:
    """The schema with names in place of the types (reasons) that an earlier one has defined, as Avro wants it."""
    if isinstance(schema, list):
        return [_once(item, known) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("type") == "enum":
        if schema["name"] in known:
            return f"handsent.{schema['name']}"
        known.add(schema["name"])
    return {key: _once(value, known) for key, value in schema.items()}


def as_avro(record: Seen, pii: bool) -> dict[str, Any]:
    """The record for `avro_schema`."""
    event = None if record.event is None else (f"handsent.{record.type}", _writable(record, pii))
    return {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "appended_at": record.appended_at,
        "key": record.key,
        "event": event,
        "error": record.error,
        "value": record.value if record.event is None and pii else None,
    }


def _writable(record: Seen, pii: bool) -> dict[str, Any]:
    """A person who was erased left fields that are none, where the schema wants text."""
    said, erased = fields(record, pii), PERSONAL[type(record.event)] if record.event else frozenset()
    return {name: "" if value is None and name in erased else value for name, value in said.items()}


def _masked(value: Any) -> Any:
    return dict.fromkeys(value, MASK) if isinstance(value, dict) else value and MASK


def _plain(value: Any) -> str:
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else str(value)


def _short(value: Any) -> str:
    text = json.dumps(value, default=_plain, ensure_ascii=False)
    return text[1:-1] if text.startswith('"') and " " not in text else text


def _text(key: bytes | None) -> str | None:
    return None if key is None else key.decode(errors="backslashreplace")
