"""Schema = dataclass, ids = files, topics = folders, catalogue = registry."""

import json
import re
from dataclasses import fields
from datetime import datetime
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from kernel import revocations

from schemas import reasons
from schemas.codec import published_schema, versions_of
from schemas.topics import FOR_EVER, ONE_DAY_MS, TOPIC_OF, TOPICS, Topic
from tests.tidy.tree import PACKAGES, ROOT, SERVICES, imported, table

SCHEMAS = ROOT / "schemas"
EVENTS = sorted(TOPIC_OF, key=lambda event: event.__name__)
COMMON = ("event_id", "account_id", "campaign_id", "recipient_id", "person_id", "occurred_at", "actor", "caused_by")
SUBJECT = {  # by the topic's key: which ids apply
    "campaign_id": COMMON[:3],
    "recipient_id": COMMON[:5],
    "person_id": ("event_id", "account_id", "person_id"),
    "token_id": ("event_id", "account_id"),
    None: ("event_id",),
}
UUIDS = {*COMMON[:5], "caused_by", "opt_out_event_id", "token_id", "user_id"}
PERSONAL = {"number", "text", "columns", "cells", "evidence"}


def avsc(event: type) -> dict[str, Any]:
    """The event's latest version, which is what its dataclass says."""
    return published_schema(versions_of(event)[-1])


def as_avro(name: str, hint: Any) -> Any:
    """The Avro type of a dataclass field; an int is either of Avro's two."""
    if get_origin(hint) is UnionType:
        (inner,) = (arg for arg in get_args(hint) if arg is not NoneType)
        return ["null", as_avro(name, inner)]
    if get_origin(hint) is dict:
        return {"type": "map", "values": {str: "string", int: "long"}[get_args(hint)[1]]}
    if get_origin(hint) is tuple:
        return {"type": "array", "items": as_avro(name, get_args(hint)[0])}
    if hint is datetime:
        return {"type": "long", "logicalType": "timestamp-micros"}
    if hint is str:
        return {"type": "string", "logicalType": "uuid"} if name in UUIDS else "string"
    if hint is int:
        return "int"
    assert issubclass(hint, StrEnum)
    return {"type": "enum", "name": hint.__name__, "symbols": [str(member) for member in hint], "default": "unknown"}


def narrowed(avro: Any) -> Any:
    """The schema's type with `long` for a count taken as `int`."""
    if isinstance(avro, list):
        return [narrowed(branch) for branch in avro]
    return "int" if avro == "long" else avro


@pytest.mark.parametrize("event", EVENTS)
def test_a_schema_is_its_dataclass(event: type) -> None:
    schema, hints = avsc(event), get_type_hints(event)
    assert (schema["type"], schema["name"], schema["namespace"]) == ("record", event.__name__, "handsent")
    assert schema["doc"] == event.__doc__
    assert [field["name"] for field in schema["fields"]] == [field.name for field in fields(event)]
    for field in schema["fields"]:
        expected = as_avro(field["name"], hints[field["name"]])
        assert narrowed(field["type"]) == expected, field["name"]
        assert ("default" in field) is (isinstance(expected, list) or field["name"] in added_later(event))
        if "default" in field:
            ours = next(f.default for f in fields(event) if f.name == field["name"])
            assert field["default"] == (list(ours) if isinstance(ours, tuple) else ours) or (
                field["default"] is None and field["name"] not in added_later(event)
            )


def added_later(event: type) -> set[str]:
    first = {field["name"] for field in published_schema(versions_of(event)[0])["fields"]}
    return {field.name for field in fields(event)} - first


@pytest.mark.parametrize("event", EVENTS)
def test_a_later_version_only_adds(event: type) -> None:
    versions = [published_schema(name) for name in versions_of(event)]
    for before, after in pairwise(versions):
        kept = after["fields"][: len(before["fields"])]
        assert [without_words(f) for f in kept] == [without_words(f) for f in before["fields"]]
        assert all("default" in field for field in after["fields"][len(before["fields"]) :])


def without_words(field: dict[str, Any]) -> Any:
    """What a field is on the wire; an enum may gain reasons at its end, which old readers see as `unknown`."""
    kind = field["type"]
    if isinstance(kind, dict) and kind["type"] == "enum":
        kind = {**kind, "symbols": "any"}
    return {"name": field["name"], "type": kind, "default": field.get("default")}


@pytest.mark.parametrize("event", EVENTS)
def test_the_common_fields_come_first(event: type) -> None:
    first = [*SUBJECT[TOPIC_OF[event].key], "occurred_at", "actor", "caused_by"]
    names = [field.name for field in fields(event)]
    assert names[: len(first)] == first
    assert not set(names[len(first) :]) & set(COMMON)


@pytest.mark.parametrize("event", EVENTS)
def test_every_field_says_what_it_is_and_whether_it_is_personal(event: type) -> None:
    for field in avsc(event)["fields"]:
        assert field["doc"].strip().endswith("."), field["name"]
        assert field.get("pii", False) is (field["name"] in PERSONAL), field["name"]
        assert set(field) <= {"name", "type", "default", "doc", "pii"}


def test_every_reason_begins_with_unknown() -> None:
    enums = [each for each in vars(reasons).values() if isinstance(each, type) and each.__module__ == reasons.__name__]
    assert enums
    for enum in enums:
        assert next(iter(enum)) == "unknown"
        assert all(str(member) == member.name.lower() for member in enum)


def test_the_folders_are_the_topics() -> None:
    folders = {path.name for path in SCHEMAS.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders == set(TOPICS)
    for topic in TOPICS.values():
        found = {str(path.relative_to(SCHEMAS)) for path in (SCHEMAS / topic.name).rglob("*.avsc")}
        assert found == {file for event in topic.events for file in files_of(event)}


def files_of(event: type) -> list[str]:
    """`<Event>.avsc`, and of an event with several versions each of them."""
    name, count = f"{TOPIC_OF[event].name}/{event.__name__}", len(versions_of(event))
    return [f"{name}.avsc", *(f"{name}/{version}.avsc" for version in range(1, count + 1) if count > 1)]


@pytest.mark.parametrize("event", [event for event in EVENTS if len(versions_of(event)) > 1])
def test_the_plain_name_is_the_latest_version(event: type) -> None:
    latest = json.loads((SCHEMAS / TOPIC_OF[event].name / f"{event.__name__}.avsc").read_text())
    assert latest == published_schema(versions_of(event)[-1])


def test_each_topic_has_one_writer_and_each_event_one_topic() -> None:
    assert {topic.writer for topic in TOPICS.values()} <= set(SERVICES)
    assert len(TOPIC_OF) == sum(len(topic.events) for topic in TOPICS.values())


def test_ids_are_appended_and_never_shared() -> None:
    pairs = json.loads((SCHEMAS / "ids.json").read_text(), object_pairs_hook=list)
    names, ids = [name for name, _ in pairs], [number for _, number in pairs]
    assert len(set(names)) == len(names)
    assert ids == sorted(set(ids)) and ids[0] > 0 and ids[-1] < 2**31
    assert all(re.fullmatch(r"[a-z-]+/[A-Z]\w+(/[2-9]\d*)?", name) for name in names)
    assert {name for name in names if name.count("/") == 1} == {
        f"{topic.name}/{event.__name__}" for topic in TOPICS.values() for event in topic.events
    }


def readers(topic: Topic) -> str:
    from dispatcher.app import TOPICS as dispatcher
    from projections.app import TOPICS as projections
    from projections.app_clock import TOPIC as followed_by_projections
    from scheduler.app import TOPICS as scheduler

    inputs = {"scheduler": scheduler, "dispatcher": dispatcher, "projections": {*projections, followed_by_projections}}
    readers = {service for service, topics in inputs.items() if topic.name in topics}
    if topic.name == revocations.TOPIC:
        readers |= {service for service, package in SERVICES.items() if _verifies_tokens(package)}
    return ", ".join(service for service in SERVICES if service in readers)


def _verifies_tokens(package: str) -> bool:
    return "kernel.revocations.Revocations" in imported(PACKAGES[package] / "__main__.py")


def catalogue_row(topic: Topic) -> dict[str, str]:
    return {
        "topic": f"`{topic.name}`",
        "single writer": topic.writer,
        "readers": readers(topic),
        "key": topic.key or "none",
        "events": ", ".join(event.__name__ for event in topic.events),
        "retention": {FOR_EVER: "for ever", ONE_DAY_MS: "1 day"}[topic.retention_ms],
        "partitions": str(topic.partitions_production),
    }


def test_the_catalogue_is_the_registry() -> None:
    assert table((SCHEMAS / "README.md").read_text()) == [catalogue_row(topic) for topic in TOPICS.values()]


def test_the_way_to_read_a_topic_in_the_readme_works(monkeypatch: pytest.MonkeyPatch) -> None:
    from schemas.codec import encode
    from schemas.events import ClockAdvanced

    monkeypatch.chdir(ROOT)
    (code,) = re.findall(r"```python\n(.*?)```", (SCHEMAS / "README.md").read_text(), flags=re.DOTALL)
    names: dict[str, Any] = {"__name__": "readme"}
    exec(compile(code, str(Path("schemas/README.md")), "exec"), names)
    at = datetime.fromisoformat("2030-01-31T12:00:00.000001+00:00")
    event = ClockAdvanced(
        event_id="6f1a1c1e-8f0c-5c55-9d0e-2a5e0b7a4e11", occurred_at=at, actor="send-intake", caused_by=None,
        at=at, campaigns_offsets={"0": 7},
    )  # fmt: skip
    name, record = names["read"](encode(event))
    assert name == "clock/ClockAdvanced"
    assert (str(record["event_id"]), record["at"], record["campaigns_offsets"]) == (event.event_id, at, {"0": 7})
