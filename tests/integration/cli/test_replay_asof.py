"""`handsent replay asof` and `replay trace`: what the log says of a time, and of one recipient."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from handsent import topics
from handsent.kafka import EmbeddedKafka
from kernel.kafka import when_there
from kernel.partitioner import partitions_of

from schemas.codec import encode, key_of
from schemas.topics import TOPIC_OF, TOPICS
from tests.integration.cli.conftest import Handsent
from tests.integration.cli.test_replay import BAD, append, in_database
from tests.integration.projections.world import Service, World, eventually
from tests.unit.projections.life import MINUTE, NOON, Life

Replay = Callable[..., Awaitable[Any]]


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with EmbeddedKafka(tmp_path_factory.mktemp("asof-kafka")) as broker:
        asyncio.run(topics.create(broker.bootstrap, TOPICS.values()))
        asyncio.run(when_there(broker.bootstrap, TOPICS))
        yield broker.bootstrap


@pytest.fixture(scope="module")
def database_url(postgres: str) -> str:
    name = f"test_{uuid4().hex}"
    in_database(postgres, f"CREATE DATABASE {name}")
    return f"{postgres.rpartition('/')[0]}/{name}"


@pytest.fixture(scope="module")
def service(database_url: str, kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = Service(tmp_path_factory.mktemp("projections"), database_url, kafka)
    try:
        yield service.start()
    finally:
        service.stop()


@pytest.fixture
async def world(service: Service, kafka: str) -> AsyncIterator[World]:
    async with aiohttp.ClientSession() as http, AIOKafkaProducer(bootstrap_servers=kafka) as producer:
        yield World(service, producer, http)


@pytest.fixture
def replay(handsent: Handsent) -> Replay:
    async def called(*arguments: str, exit_code: int = 0) -> Any:
        return await asyncio.to_thread(handsent, "replay", *arguments, exit_code=exit_code)

    return called


def as_of(world: World, replay: Replay) -> Callable[..., Awaitable[dict[str, Any]]]:
    async def asked(at: datetime, *options: str) -> dict[str, Any]:
        said = await replay("asof", world.campaign_id, "--at", at.isoformat(), *options)
        return dict(json.loads(said.stdout))

    return asked


def some_of_each(world: World) -> list[Any]:
    """Recipients in every state, with all that led there."""
    lives = [world.life(n) for n in range(10)]
    events: list[Any] = [lives[0].created(), *(life.added() for life in lives)]
    events += [life.processed() for life in lives[1:]] + [life.released() for life in lives[2:]]
    events += [lives[2].opted_out(-9), lives[2].suppressed(), lives[3].opted_out(3), lives[3].opted_in(4)]
    events += [life.attempted() for life in lives[3:]]
    events += [lives[3].rejected(), lives[4].unresolved(), *(life.accepted() for life in lives[5:])]
    return [*events, lives[5].not_delivered(), lives[6].unconfirmed(), lives[7].delivered(), lives[8].opted_out(50),
            lives[0].ended()]  # fmt: skip


async def test_now_is_what_the_api_answers(world: World, replay: Replay) -> None:
    await world.publish(some_of_each(world))
    await world.caught_up()
    asked, now = as_of(world, replay), datetime.now(UTC)
    live = await world.progress()
    assert (await asked(now)) | {"as_of": 0} == live | {"as_of": 0}
    for n in range(10):
        rid = world.life(n).recipient_id
        assert await asked(now, "--recipient", rid, "--pii") == (await world.get(f"/recipients/{rid}"))[1]
        assert await asked(now, "--recipient", rid, "--pii", "--recorded") == (await world.get(f"/recipients/{rid}"))[1]


async def test_then_is_what_had_happened_by_then(world: World, replay: Replay) -> None:
    await world.publish(some_of_each(world))
    asked = as_of(world, replay)
    before = await asked(NOON - MINUTE)
    assert (before["recipients"], before["unprocessed"], before["state"]) == (10, 10, "current")
    pressed = await asked(NOON + 5 * MINUTE)
    assert (pressed["waiting"], pressed["sent"], pressed["state"]) == (9, 0, "completed")
    sent = await asked(NOON + 11 * MINUTE)
    assert (sent["suppressed"], sent["awaiting"], sent["unknown"], sent["failed"]) == (1, 6, 1, 0)
    rid = world.life(7).recipient_id
    there = await asked(NOON + 12 * MINUTE, "--recipient", rid)
    assert (there["state"], there["delivered_at"], there["phone"], there["columns"]["City"]) == (
        "awaiting",
        None,
        "***",
        "***",
    )
    assert (await asked(NOON + 15 * MINUTE, "--recipient", rid))["state"] == "delivered"
    nobody = await replay("asof", world.campaign_id, "--at", "2020-01-01T00:00:00Z", exit_code=1)
    assert "no such campaign by then" in nobody.stderr
    await replay("asof", world.campaign_id, "--at", "2026-03-01T12:00:00", exit_code=2)
    kept = json.loads((await replay("history", "--json", "--limit", "1")).stdout)
    assert (kept["command"], kept["outcome"]) == ("asof", "refused: the log knows of no such campaign by then")


async def test_recorded_is_what_the_log_held_by_then(world: World, replay: Replay) -> None:
    lives = [world.life(n) for n in range(3)]
    await world.publish([lives[0].created(), *(life.added() for life in lives)])
    await world.caught_up()
    between = datetime.now(UTC) + timedelta(milliseconds=5)
    await asyncio.sleep(0.05)
    await world.publish(e for life in lives for e in (life.processed(), life.attempted(), life.delivered()))
    asked = as_of(world, replay)
    then = await asked(between, "--recorded")
    assert (then["unprocessed"], then["delivered"]) == (3, 0)
    assert (await asked(between))["delivered"] == 3  # it had happened
    assert sum(then["as_of"]["processed"].values()) < sum((await asked(between))["as_of"]["processed"].values())


@pytest.mark.parametrize("at", ["1960-01-01T00:00:00Z", "0001-01-01T00:00:00+05:00"])
async def test_nothing_is_known_of_times_that_kafka_does_not_know(world: World, replay: Replay, at: str) -> None:
    await world.publish([world.life(0).created(), world.life(0).added()])
    for options in ((), ("--recorded",)):
        said = await replay("asof", world.campaign_id, "--at", at, *options, exit_code=1)
        assert "no such campaign by then" in said.stderr
    known = await replay("asof", world.campaign_id, "--at", "9999-12-31T23:59:59-05:00", "--recorded")
    assert json.loads(known.stdout)["recipients"] == 1


async def test_what_an_operator_has_set_aside_is_left_out_as_in_progress(
    world: World, replay: Replay, handsent: Handsent, database_url: str
) -> None:
    """A press that tells of another campaign than its recipient's, and one that nobody can read."""
    life = world.life(0)
    other = world.life(1, campaign="summer")
    await world.publish([life.created(), life.added(), other.created(), other.added()])
    await world.caught_up()
    wrong = replace(life.processed(), campaign_id=other.campaign_id)
    standing = "SELECT topic, partition FROM projections.stopped"
    for value in (encode(wrong), BAD + other.campaign_id.encode()):
        await world.publish_raw("processed", key_of(wrong), value)

        async def stopped() -> list[Any]:
            return await asyncio.to_thread(in_database, database_url, standing)

        [(topic, partition)] = await eventually(stopped, lambda: "projections stands still")
        reason = ("--reason", "a test wrote it")
        await asyncio.to_thread(handsent, "quarantine", "set-aside", "projections", topic, str(partition), *reason)
    await world.caught_up()
    world.campaign_id = other.campaign_id
    live = await world.progress_is(recipients=1, unprocessed=1)
    assert (await as_of(world, replay)(datetime.now(UTC))) | {"as_of": 0} == live | {"as_of": 0}


async def test_a_log_that_lacks_its_beginning_answers_nothing(
    service: Service, replay: Replay, handsent: Handsent, tmp_path: Path
) -> None:
    """Smaller figures would be the answer, and nobody would know."""
    life = Life(sealed=True)
    events = [life.created(), life.added(), life.processed()]
    with EmbeddedKafka(tmp_path / "kafka") as broker:
        await topics.create(broker.bootstrap, TOPICS.values())
        await when_there(broker.bootstrap, TOPICS)
        await append(broker.bootstrap, [(TOPIC_OF[type(e)].name, key_of(e), encode(e)) for e in events])

        async def asked(*options: str, exit_code: int = 0) -> Any:
            asof = ("replay", "asof", life.campaign_id, "--at", "2030-01-01T00:00:00Z", *options)
            return await asyncio.to_thread(handsent, *asof, exit_code=exit_code, KAFKA_BOOTSTRAP=broker.bootstrap)

        assert json.loads((await asked()).stdout)["waiting"] == 1
        partition = partitions_of([life.recipient_id.encode()], TOPICS["processed"].partitions_local)[0]
        admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
        await admin.start()
        await admin.delete_records({TopicPartition("processed", partition): RecordsToDelete(before_offset=1)})
        await admin.close()
        for options in ((), ("--recorded",), ("--recipient", life.recipient_id)):
            said = await asked(*options, exit_code=1)
            assert f"processed-{partition} begins at offset 1" in said.stderr and said.stdout == ""


async def test_a_trace_is_written_down(world: World, replay: Replay) -> None:
    life = world.life(1)
    await world.publish([life.created(), life.added()])
    await replay("trace", life.recipient_id)
    await replay("trace", str(uuid4()), exit_code=1)
    missed, found = map(json.loads, (await replay("history", "--json", "--limit", "2")).stdout.splitlines())
    assert (found["command"], found["outcome"]) == ("trace", "2 events, no gaps")
    assert found["arguments"] == {"recipient": life.recipient_id}
    assert (missed["command"], missed["outcome"]) == ("trace", "refused: the log knows of no such recipient")


async def test_a_trace_tells_causes_before_effects_and_points_out_gaps(world: World, replay: Replay) -> None:
    life = world.life(1)
    processed = life.processed()
    released = replace(life.released(), caused_by=processed.event_id)
    attempted = replace(life.attempted(), caused_by=released.event_id)
    opted_out = replace(life.opted_out(30), caused_by=world.life(2).processed().event_id)  # about somebody else
    told = [
        life.created(),
        world.life(2).processed(),
        attempted,
        released,
        processed,
        life.added(),
        opted_out,
        processed,
    ]
    await world.publish(told)
    found = [json.loads(line) for line in (await replay("trace", life.recipient_id, "--json")).stdout.splitlines()]
    assert [(step["event"], step["repeats"]) for step in found] == [
        ("CampaignCreated", False), ("RecipientAdded", False), ("RecipientProcessed", False),
        ("MessageReleased", False), ("RecipientProcessed", True), ("SendAttempted", False), ("PersonOptedOut", False),
    ]  # fmt: skip
    by_event = {step["event"]: step for step in found if not step["repeats"]}
    pressed = by_event["RecipientProcessed"]
    assert by_event["MessageReleased"]["cause"] == f"processed-{pressed['partition']}@{pressed['offset']}"
    assert by_event["PersonOptedOut"]["cause"].startswith("processed-")
    assert pressed["fields"]["number"] == "***"
    said = (await replay("trace", life.recipient_id)).stdout
    assert "because of processed-" in said and "(again)" in said and "no gaps" in said and "+1202" not in said
    lost = replace(life.accepted(), caused_by=str(uuid4()))
    await world.publish([lost])
    said = (await replay("trace", life.recipient_id, exit_code=1)).stdout
    assert f"GAP: its cause {lost.caused_by} is not in the log" in said and "1 GAPS" in said
    await world.publish_raw("receipts", life.recipient_id.encode(), BAD)
    assert "CANNOT BE READ: receipts-" in (await replay("trace", life.recipient_id, exit_code=1)).stdout
    assert "no such recipient" in (await replay("trace", str(uuid4()), exit_code=1)).stderr
