"""The scheduler's schema is dropped and made anew from the topics: it is what it was, and nobody is let go again."""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from handsent import topics
from handsent.kafka import EmbeddedKafka
from kernel import database
from kernel.errors import LogLost
from kernel.testing import NOON, clock, created, ended, eventually, processed
from scheduler.app_rebuild import rebuild

from schemas.events import Event, MessageDropped, MessageReleased
from schemas.identity import HANDSENT, uuid5
from schemas.topics import TOPICS
from tests.integration.scheduler.running import Running

SECOND = timedelta(seconds=1)
T, LATER = NOON + 600 * SECOND, NOON + 3600 * SECOND
COUNT = 40


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[EmbeddedKafka]:
    """Of the test's own: what is in the topics is what the state must be."""
    with EmbeddedKafka(tmp_path) as broker:
        asyncio.run(topics.create(broker.bootstrap, TOPICS.values()))
        yield broker


@pytest.fixture
async def running(tmp_path: Path, database_url: str, broker: EmbeddedKafka) -> AsyncIterator[Running]:
    running = Running(tmp_path, database_url, broker.bootstrap)
    yield running
    running.close()


def campaign(name: str) -> str:
    return uuid5(HANDSENT, f"campaign {name}")


def history() -> list[Event]:
    """Messages of every fate, up to T."""
    scheduled = {"gone": T, "dropped": T, "held": LATER, "ended early and held": LATER, "none": T}
    events: list[Event] = [created(campaign(name), t) for name, t in scheduled.items()]
    for name, t in scheduled.items():
        presses = [processed(n, campaign_id=campaign(name), scheduled_for=t) for n in range(COUNT)]
        events += [replace(press, useful_until=t + SECOND) for press in presses]
    events += [processed(n, campaign_id=campaign("unscheduled")) for n in range(COUNT)]
    events += [processed(COUNT, T + SECOND, campaign("gone"), T), ended(NOON + SECOND, campaign("dropped"), T)]
    return events


async def settled(running: Running) -> dict[str, list[dict[str, Any]]]:
    """The state after the history, all of it read and T reached."""
    first = running.start()
    await running.publish(*history())
    end_offsets = await running.ends("campaigns")
    await running.publish(clock(T, end_offsets))
    await eventually(lambda: running.status(first)["watermark"].startswith(T.isoformat()[:19]), "T is reached")
    await running.until_read(first)
    await eventually(lambda: _ends_sum(running, 4 * COUNT + 1), "the relay has moved everything")
    return await running.state()


async def _ends_sum(running: Running, count: int) -> bool:
    return sum((await running.ends("releases")).values()) == count


async def test_the_state_is_what_it_was_and_nothing_is_released_again(running: Running) -> None:
    before = await settled(running)
    out = await running.ends("releases")
    running.close()
    await running.drop_schema()
    second = running.start()
    await running.until_read(second)
    assert await running.state() == before
    assert len(before["held"]) == 2 * COUNT
    assert await running.ends("releases") == out
    assert running.status(second)["rebuilding"] is False
    await running.publish(ended(T - SECOND, campaign("ended early and held"), LATER))
    await running.publish(clock(LATER, await running.ends("campaigns")))
    await eventually(lambda: _ends_sum(running, 6 * COUNT + 1), "the rest has left")
    events = await running.out()
    assert len({event.recipient_id for event in events}) == len(events)
    fates = Counter((event.campaign_id, type(event)) for event in events)
    assert fates[campaign("ended early and held"), MessageDropped] == fates[campaign("held"), MessageReleased] == COUNT
    useful_until = {event.useful_until for event in events if isinstance(event, MessageReleased)}
    assert useful_until == {None, T + SECOND, LATER + SECOND}


async def test_what_happened_while_there_was_no_schema_happens_once(running: Running) -> None:
    await settled(running)
    running.close()
    await running.drop_schema()
    late = [processed(n, campaign_id=campaign("late")) for n in range(COUNT)]
    await running.publish(*late, ended(T - SECOND, campaign("held"), LATER))
    one, other = running.prepare(), running.prepare()  # two at once: one reads, the other waits for it
    await asyncio.gather(asyncio.to_thread(one.start), asyncio.to_thread(other.start))
    await running.until_read(one)
    await eventually(lambda: _ends_sum(running, 6 * COUNT + 1), "what came meanwhile has left")
    events = await running.out()
    assert len({event.recipient_id for event in events}) == len(events)
    fates = Counter((event.campaign_id, type(event)) for event in events)
    assert fates[campaign("late"), MessageReleased] == fates[campaign("held"), MessageDropped] == COUNT


async def test_a_fold_that_was_cut_off_begins_again(running: Running, database_url: str, broker: EmbeddedKafka) -> None:
    await settled(running)
    running.close()
    await running.drop_schema()
    await database.migrate(database_url, "scheduler", "scheduler")
    pool = await database.open_pool(database_url, "scheduler")
    some = (await running.out())[:10]
    await pool.execute("INSERT INTO gone SELECT unnest($1::uuid[])", [event.recipient_id for event in some])
    await rebuild(database_url, pool, broker.bootstrap)
    assert await pool.fetchval("SELECT count(*) FROM gone") == 4 * COUNT + 1
    await pool.close()


async def test_without_the_beginning_of_its_own_topic_nothing_is_guessed(
    running: Running, database_url: str, broker: EmbeddedKafka
) -> None:
    await settled(running)
    running.close()
    await running.drop_schema()
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    await admin.delete_records({TopicPartition("releases", 0): RecordsToDelete(before_offset=1)})
    await admin.close()
    await database.migrate(database_url, "scheduler", "scheduler")
    pool = await database.open_pool(database_url, "scheduler")
    with pytest.raises(LogLost):
        await rebuild(database_url, pool, broker.bootstrap)
    await pool.close()
    process = running.prepare()
    with pytest.raises(AssertionError, match="LogLost"):
        process.start()
    process.stop(signal.SIGKILL)
