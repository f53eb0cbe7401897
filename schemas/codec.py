"""Events to bytes and back: Confluent wire format (0x00, 4-byte schema id, Avro binary).

The published `.avsc` keep their logical types; this codec parses twins stripped of them, whose encoding is identical
and three times as fast, and converts the times itself.
"""

import json
from collections.abc import Callable
from dataclasses import MISSING, fields
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from io import BytesIO
from operator import attrgetter
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from fastavro import parse_schema, schemaless_reader, schemaless_writer

from schemas.events import Event
from schemas.topics import TOPIC_OF

MAGIC = b"\x00"
HEADER_BYTES = 5
ID_BYTES = 37  # 36 of text behind a length
ID_LENGTH = b"\x48"  # 36, as Avro writes it
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
ROOT = Path(__file__).parent

SCHEMA_IDS: dict[str, int] = json.loads((ROOT / "ids.json").read_text())


class UndecodableEvent(ValueError):
    """The bytes are not an event of this repository; the message says where they stop making sense."""


def to_micros(time: datetime) -> int:
    """Microseconds since 1970 in UTC, exact."""
    return (time - EPOCH) // MICROSECOND


def from_micros(micros: int) -> datetime:
    """The aware UTC datetime of microseconds since 1970."""
    return EPOCH + timedelta(microseconds=micros)


def published_schema(name: str) -> dict[str, Any]:
    """The `.avsc` of a name in `ids.json`, as published, logical types and marks included."""
    topic, event, *version = name.split("/")
    versions = ROOT / topic / event
    path = versions / f"{version[0] if version else 1}.avsc" if versions.is_dir() else ROOT / f"{name}.avsc"
    schema: dict[str, Any] = json.loads(path.read_text())
    return schema


def versions_of(event_type: type[Event]) -> list[str]:
    """The names in `ids.json` of an event's versions, the one that is written last."""
    first = f"{TOPIC_OF[event_type].name}/{event_type.__name__}"
    later = [name for name in SCHEMA_IDS if name.startswith(f"{first}/")]
    return [first, *sorted(later, key=lambda name: int(name.rpartition("/")[2]))]


class _Shape:
    """How one version of an event goes to Avro and back: its schema, its fields, and which of them convert."""

    def __init__(self, event_type: type[Event], name: str) -> None:
        self.event_type = event_type
        self.name = event_type.__name__
        self.prefix = MAGIC + SCHEMA_IDS[name].to_bytes(4, "big")
        published = published_schema(name)
        self.schema = parse_schema(_stripped(published))
        self.names = tuple(field["name"] for field in published["fields"])
        self.values = attrgetter(*self.names)
        self.slots = tuple((name, getattr(event_type, name).__set__) for name in self.names)
        # What this version does not know yet is what later ones say by default.
        self.unknown = tuple(
            (getattr(event_type, field.name).__set__, field.default)
            for field in fields(event_type)
            if field.name not in self.names and field.default is not MISSING
        )
        hints = get_type_hints(event_type)
        self.times = tuple(n for n in self.names if datetime in (hints[n], *get_args(hints[n])))
        self.lists = tuple(n for n in self.names if get_origin(hints[n]) is tuple)
        self.enums: tuple[tuple[str, Callable[[str], Any]], ...] = tuple(
            (n, hints[n]) for n in self.names if isinstance(hints[n], type) and issubclass(hints[n], StrEnum)
        )

    def encode(self, event: Event) -> bytes:
        record = dict(zip(self.names, self.values(event), strict=True))
        for name in self.times:
            if record[name] is not None:
                record[name] = (record[name] - EPOCH) // MICROSECOND
        out = BytesIO()
        out.write(self.prefix)
        schemaless_writer(out, self.schema, record)
        return out.getvalue()

    def decode(self, value: bytes) -> Event:
        body = BytesIO(value)
        body.seek(HEADER_BYTES)
        record: dict[str, Any] = schemaless_reader(body, self.schema)
        if body.read(1):
            raise ValueError("bytes are left over behind the event")
        for name in self.times:
            if record[name] is not None:
                record[name] = EPOCH + timedelta(microseconds=record[name])
        for name in self.lists:
            record[name] = tuple(record[name])
        for name, enum in self.enums:
            record[name] = enum(record[name])
        # Slot by slot: the __init__ of a frozen dataclass costs a quarter of the decoding.
        event = object.__new__(self.event_type)
        for name, put in self.slots:
            put(event, record[name])
        for put, default in self.unknown:
            put(event, default)
        return event


def _stripped(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {key: _stripped(value) for key, value in schema.items() if key != "logicalType"}
    if isinstance(schema, list):
        return [_stripped(item) for item in schema]
    return schema


_VERSIONS = {event: [_Shape(event, name) for name in versions_of(event)] for event in TOPIC_OF}
_BY_TYPE = {event: shapes[-1] for event, shapes in _VERSIONS.items()}
_BY_PREFIX = {shape.prefix: shape for shapes in _VERSIONS.values() for shape in shapes}


def encode(event: Event) -> bytes:
    """The event on the wire, in its latest version. Raises ValueError or TypeError when a field does not fit it."""
    return _BY_TYPE[type(event)].encode(event)


def decode(value: bytes | None) -> Event:
    """The event behind the bytes of a record's value. Raises UndecodableEvent."""
    shape = _BY_PREFIX.get(bytes(value[:HEADER_BYTES])) if value else None
    if shape is None:
        raise UndecodableEvent(f"no event begins with the bytes {value[:HEADER_BYTES].hex() if value else '(none)'}")
    try:
        return shape.decode(value)  # type: ignore[arg-type]
    except Exception as error:  # whatever Avro trips over, it is the same fact: these bytes are not this event
        # Not the error's repr, which can hold the bytes of a text: this message is logged.
        raise UndecodableEvent(f"not a {shape.name}: {type(error).__name__}: {error}") from None


def first_bytes(event_type: type[Event]) -> bytes:
    """What an event of this type begins with as it is written today: the header with the latest version's id."""
    return _BY_TYPE[event_type].prefix


def event_type_of(value: bytes) -> str:
    """The event's name, from the schema id alone (for the record's `event-type` header)."""
    return _BY_PREFIX[value[:HEADER_BYTES]].name


def event_id_of(value: bytes) -> str:
    """The event's id without decoding the rest: the first field, 36 bytes of text behind a one-byte length."""
    return value[HEADER_BYTES + 1 : HEADER_BYTES + 37].decode()


def leading_ids(value: bytes | None, count: int) -> tuple[str, ...] | None:
    """The event's first `count` ids (event_id, account_id, then those that apply) without decoding the rest.

    None where the bytes do not begin like an event with so many ids.
    """
    end = HEADER_BYTES + count * ID_BYTES
    if not value or len(value) < end or value[:HEADER_BYTES] not in _BY_PREFIX:
        return None
    ids = value[HEADER_BYTES:end]
    if ids[::ID_BYTES] != ID_LENGTH * count:
        return None
    text = ids.decode("ascii", "replace")
    return tuple([text[at + 1 : at + ID_BYTES] for at in range(0, len(ids), ID_BYTES)])


def key_of(event: Event) -> bytes | None:
    """The key of the event's record: a lower-case UUID as UTF-8, or None where the topic has no key."""
    key = TOPIC_OF[type(event)].key
    return None if key is None else str(getattr(event, key)).encode()
