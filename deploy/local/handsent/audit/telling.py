"""An event as a line of JSON, with what is personal closed unless somebody may see it; and back."""

from collections.abc import Iterator
from dataclasses import MISSING, fields
from datetime import datetime
from enum import StrEnum
from operator import attrgetter
from typing import Any, get_args, get_origin, get_type_hints

import orjson
from kernel.seal import is_sealed

from handsent.audit.framing import BadLine
from handsent.log_view import MASK, PERSONAL, Seen
from schemas.events import Event
from schemas.topics import TOPIC_OF

_TYPES = {event_type.__name__: event_type for event_type in TOPIC_OF}
# `asdict` copies every value, which costs more than the rest of a line.
_FIELDS = {event_type: (names := [f.name for f in fields(event_type)], attrgetter(*names)) for event_type in TOPIC_OF}
_HINTS = {name: get_type_hints(event_type) for name, event_type in _TYPES.items()}


def closed(record: Seen) -> bool:
    """Whether the record's own bytes show nothing personal: all of it is sealed (version 0.1.0 sealed nothing)."""
    event = record.event
    return event is not None and all(_is_closed(getattr(event, name, "")) for name in PERSONAL[type(event)])


def _is_closed(value: Any) -> bool:
    return not any(value.values()) if isinstance(value, dict) else not value or is_sealed(value)


def told(record: Seen, pii: bool) -> dict[str, Any]:
    """What a line of `events.jsonl` says. Sealed fields stay as they are, or are opened; plain ones are masked."""
    about: dict[str, Any] = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "appended_at": record.appended_at,
        "key": record.key,
        "type": record.type,
    }
    if record.event is None:
        return about | {"error": record.error if pii else "it cannot be decoded"}
    return about | {"event": _said(record, pii)}


def _said(record: Seen, pii: bool) -> dict[str, Any]:
    assert record.event is not None
    names, values = _FIELDS[type(record.event)]
    said = dict(record.opened or zip(names, values(record.event), strict=True))
    if pii:
        return said
    for name in PERSONAL[type(record.event)] & said.keys():
        if not _is_closed(said[name]):
            said[name] = dict.fromkeys(said[name], MASK) if isinstance(said[name], dict) else MASK
    return said


def as_line(said: dict[str, Any]) -> bytes:
    return orjson.dumps(said, option=orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE)


def compare(line: bytes, record: Seen, pii: bool) -> bool:
    """Whether the line says what the record says; False where it opens what is sealed there, and only the vault could
    tell. Raises BadLine where it says something else."""
    ours = as_line(told(record, pii))
    if line == ours:
        return True
    said = orjson.loads(line)
    expected = as_told_before(orjson.loads(ours), said)
    if said == expected:
        return True
    if not pii or _without(said, unopened := _unopened(record)) != _without(expected, unopened):
        raise BadLine("does not say what its record says")
    return False


def _unopened(record: Seen) -> set[str]:
    """The fields that are sealed and were not opened; an undecodable record's error is not in its bytes."""
    if record.event is None:
        return {"error"}
    opened, sealed = record.opened or {}, _sealed(record.event)
    return {name for name in sealed if opened.get(name) is None}


def _sealed(event: Event) -> Iterator[str]:
    for name in PERSONAL[type(event)]:
        value = getattr(event, name, None)
        if isinstance(value, str) and is_sealed(value):
            yield name


def _without(said: dict[str, Any], names: set[str]) -> dict[str, Any]:
    event = said.get("event")
    if not isinstance(event, dict):
        return {name: value for name, value in said.items() if name not in names}
    return {**said, "event": {name: value for name, value in event.items() if name not in names}}


def as_told_before(ours: dict[str, Any], said: dict[str, Any]) -> dict[str, Any]:
    """`ours` as a version wrote it that made the line `said`: without fields added since, where they say nothing."""
    event, theirs, event_type = ours.get("event"), said.get("event"), _TYPES.get(str(ours.get("type")))
    if event_type is None or not isinstance(event, dict) or not isinstance(theirs, dict):
        return ours
    added = {field.name for field in fields(event_type) if field.default is not MISSING} - theirs.keys()
    return {**ours, "event": {name: value for name, value in event.items() if name not in added or value}}


def untold(said: dict[str, Any]) -> Event | None:
    """The event of a line as far as it tells; None where it could not be decoded. Raises BadLine."""
    if "event" not in said:
        return None
    try:
        name = said["type"]
        hints, event = _HINTS[name], said["event"]
        return _TYPES[name](**{field: _value(hints[field], value) for field, value in event.items()})
    except (KeyError, TypeError, ValueError, AttributeError):
        raise BadLine("tells no event") from None


def _value(hint: Any, said: Any) -> Any:
    if said is None:
        return None
    if datetime in (hint, *get_args(hint)):
        return datetime.fromisoformat(said)
    if get_origin(hint) is tuple:
        return tuple(said)
    return hint(said) if isinstance(hint, type) and issubclass(hint, StrEnum) else said
