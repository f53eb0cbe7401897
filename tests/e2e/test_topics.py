"""The topics as a subscriber sees them, with a stock consumer and the published schemas alone."""

import io
import itertools
import json
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import fastavro
import pytest
from aiokafka import AIOKafkaConsumer

from tests.e2e.story import Story

SCHEMAS = Path(__file__).parents[2] / "schemas"
IDS: dict[str, int] = json.loads((SCHEMAS / "ids.json").read_text())
KEYS = {
    "campaigns": "campaign_id", "recipients": "recipient_id", "processed": "recipient_id", "clock": None,
    "releases": "recipient_id", "dispatches": "recipient_id", "receipts": "recipient_id", "opt-outs": "person_id",
    "access": "token_id",
}  # fmt: skip
ALWAYS_CAUSED = {"MessageReleased", "MessageDropped", "MessageSuppressed", "SendAttempted"}
HUMAN = {"CampaignCreated", "CampaignEnded", "RecipientAdded", "RecipientProcessed", "TokenRevoked"}
COMMON = {"event_id", "occurred_at", "actor", "caused_by"}


class Record(NamedTuple):
    topic: str
    partition: int
    key: bytes | None
    value: bytes
    headers: dict[str, bytes]
    event: str
    fields: dict[str, Any]


def _decoders() -> dict[int, tuple[str, Any]]:
    """schema id -> "<topic>/<Event>", schema."""
    found = {}
    for name, number in IDS.items():  # nothing here was written by an earlier version: the latest is each one's
        topic, event = name.split("/")[:2]
        found[number] = (
            f"{topic}/{event}",
            fastavro.parse_schema(json.loads((SCHEMAS / topic / f"{event}.avsc").read_text())),
        )
    return found


async def _everything(bootstrap: str) -> list[Record]:
    """All that lies in all topics at this moment."""
    decoders, records = _decoders(), []
    async with AIOKafkaConsumer(*KEYS, bootstrap_servers=bootstrap, auto_offset_reset="earliest") as consumer:
        places = list(consumer.assignment())
        ends = await consumer.end_offsets(places)
        while any([await consumer.position(place) < ends[place] for place in places]):
            for batch in (await consumer.getmany(timeout_ms=1000)).values():
                for r in batch:
                    assert r.value[0] == 0
                    name, schema = decoders[int.from_bytes(r.value[1:5], "big")]
                    assert name.startswith(f"{r.topic}/")
                    body = io.BytesIO(r.value[5:])
                    fields = fastavro.schemaless_reader(body, schema)
                    assert not body.read(), "nothing follows the event"
                    event = name.partition("/")[2]
                    records.append(Record(r.topic, r.partition, r.key, r.value, dict(r.headers), event, fields))
    return records


@pytest.fixture
async def log(story: Story) -> list[Record]:
    """A little of everything has happened, here and in the stories before."""
    people = [*story.numbers(3), story.number("0001"), story.number("0003"), story.number("0014"), story.number("0016")]
    campaign = await story.campaign(people)
    mia = await story.manager()
    person = (await mia.ok("POST", "/opt-outs", json={"phone": people[0], "reason": "asked"}))["person_id"]
    sam = await story.sending("Sam", campaign)
    await sam.sends_all(campaign, people)
    later = await story.campaign(story.numbers(2), scheduled_for=datetime.now(UTC) + timedelta(hours=1))
    await sam.starts(later, take_over=True)
    await sam.sends(later, (await sam.rows(later))[0]["phone"])
    await mia.ends(later)
    await story.settles(campaign, suppressed=1, delivered=3, failed=2, unknown=1)
    await story.settles(later, dropped=1, unprocessed=1)
    await mia.ok("DELETE", f"/opt-outs/{person}", json={"reason": "wrote again"})
    await mia.ok("POST", f"/persons/{person}/erasure", json={"reason": "wants to be forgotten"})
    await (await story.user("Sid")).ok("DELETE", "/sessions/current")
    bootstrap = story.running.status()["kafka_bootstrap"]
    return await _everything(bootstrap)


async def test_the_log_holds_together(log: list[Record]) -> None:
    seen = {record.event for record in log}
    assert seen >= {name.split("/")[1] for name in IDS} - {"MessageUnconfirmed"}, "every event has happened"
    _each_is_well_formed(log)
    _each_is_once_in_effect(log)
    _causes_exist(log)
    _ids_are_consistent(log)
    _lives_are_whole(log)


def _each_is_well_formed(log: list[Record]) -> None:
    places: dict[tuple[str, bytes], int] = {}
    for record in log:
        assert record.fields.keys() >= COMMON
        assert record.headers["event-type"] == record.event.encode()
        assert set(record.headers) <= {"event-type", "traceparent"}
        field = KEYS[record.topic]
        assert record.key == (None if field is None else str(record.fields[field]).encode()), record
        if record.key is not None:
            assert record.key == str(UUID(record.key.decode())).encode(), "a lower-case UUID"
            assert places.setdefault((record.topic, record.key), record.partition) == record.partition
        assert record.fields["occurred_at"].utcoffset() == timedelta(0)
        assert record.fields["actor"]


def _each_is_once_in_effect(log: list[Record]) -> None:
    values: dict[str, tuple[str, bytes]] = {}
    for record in log:
        known = values.setdefault(str(record.fields["event_id"]), (record.topic, record.value))
        assert known == (record.topic, record.value), "one event_id, one topic, the same bytes"


def _causes_exist(log: list[Record]) -> None:
    ids = {str(record.fields["event_id"]) for record in log}
    for record in log:
        cause = record.fields["caused_by"]
        assert cause is None or str(cause) in ids, record.event
        assert cause is not None or record.event not in ALWAYS_CAUSED, record.event
        assert cause is None or record.event not in HUMAN, record.event


def _ids_are_consistent(log: list[Record]) -> None:
    accounts: dict[str, set[str]] = defaultdict(set)
    lives: dict[str, set[tuple[str, str, str]]] = defaultdict(set)
    numbers: dict[str, str] = {}
    for record in log:
        of = {name: str(record.fields[name]) for name in record.fields if name.endswith("_id")}
        for name in ("campaign_id", "person_id"):
            if name in of:
                accounts[of[name]].add(of["account_id"])
        if "recipient_id" in of:
            lives[of["recipient_id"]].add((of["account_id"], of["campaign_id"], of["person_id"]))
            if "number" in record.fields:  # the same sealed bytes in every event of a recipient
                assert record.fields["number"].startswith("~1.")
                assert numbers.setdefault(of["recipient_id"], record.fields["number"]) == record.fields["number"]
    assert all(len(found) == 1 for found in accounts.values())
    assert all(len(found) == 1 for found in lives.values())


def _lives_are_whole(log: list[Record]) -> None:
    """What happened to each recipient: one end for who was SENT, nothing for who was not."""
    lives: dict[str, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    once = {str(record.fields["event_id"]): record for record in log if "recipient_id" in record.fields}
    for record in once.values():
        lives[str(record.fields["recipient_id"])][record.event].append(record.fields)
    ended = {r.fields["event_id"]: r.fields["campaign_id"] for r in log if r.event == "CampaignEnded"}
    for life in lives.values():
        counts = {event: len(found) for event, found in life.items()}
        assert counts["RecipientAdded"] == 1
        if "RecipientProcessed" not in counts:
            assert counts.keys() == {"RecipientAdded"}
            continue
        assert counts["RecipientProcessed"] == 1
        [processed] = life["RecipientProcessed"]
        ends = [event for event in ("MessageReleased", "MessageDropped") if event in counts]
        assert len(ends) <= 1 and all(counts[event] == 1 for event in ends)
        for event in ends:
            [end] = life[event]
            assert end["due_at"] == processed["due_at"]
            if event == "MessageReleased":
                assert end["caused_by"] == processed["event_id"]
            else:
                assert ended[end["caused_by"]] == processed["campaign_id"]
        assert "MessageDropped" not in counts or not counts.keys() & {"SendAttempted", "MessageSuppressed"}
        attempts = sorted(attempt["attempt"] for attempt in life["SendAttempted"])
        assert attempts == list(range(1, len(attempts) + 1))
        not_taken = {found["attempt"] for found in life["SendNotAccepted"]}
        assert set(attempts[:-1]) <= not_taken, "a new attempt follows only one that is known not to have been taken"
        outcomes = itertools.chain(life["MessageAccepted"], life["MessageRejected"])
        assert len({outcome["attempt"] for outcome in outcomes} - not_taken) <= 1
