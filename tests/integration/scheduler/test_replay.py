"""The scheduler's tables are what the log says, and whoever changes them by hand is told on."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from handsent import topics
from handsent.kafka import EmbeddedKafka
from kernel.kafka import producer
from kernel.outbox import pack
from kernel.replay import verify
from kernel.testing import NOON, as_version, clock, created, ended, eventually, number, processed
from kernel.verdict import Verdict
from scheduler.app_replay import REBUILT
from scheduler.release import released
from scheduler.store import record, release_of

from schemas.codec import encode, key_of
from schemas.events import Event
from schemas.identity import HANDSENT, recipient_id, uuid5
from schemas.topics import TOPICS
from tests.integration.replaying import MADE_UP, MISSING, copied, differing, execute, found, named
from tests.integration.scheduler.running import Running

SECOND = timedelta(seconds=1)
T, LATER = NOON + 600 * SECOND, NOON + 3600 * SECOND
COUNT = 40


def campaign(name: str) -> str:
    return uuid5(HANDSENT, f"campaign {name}")


HELD, DROPPED = campaign("held"), campaign("dropped")
SOMEBODY, ANOTHER = (recipient_id(HELD, number(n)) for n in range(2))
GONE = recipient_id(campaign("gone"), number(0))
NOBODY = "00000000-0000-4000-8000-000000000000"
WAITING = f"{HELD} 2026-03-01 13:00:00+00"


def history() -> list[Event]:
    """Messages of every fate, up to T."""
    scheduled = {"gone": T, "dropped": T, "held": LATER, "none": T}
    events: list[Event] = [created(campaign(name), t) for name, t in scheduled.items()]
    for name, t in list(scheduled.items())[:3]:
        events += [processed(n, campaign_id=campaign(name), scheduled_for=t) for n in range(COUNT)]
    events += [processed(n, campaign_id=campaign("unscheduled")) for n in range(COUNT)]
    return [*events, ended(NOON + SECOND, DROPPED, T), ended(LATER + SECOND, HELD, LATER)]


@pytest.fixture(scope="module")
def bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with EmbeddedKafka(tmp_path_factory.mktemp("replay")) as broker:
        asyncio.run(topics.create(broker.bootstrap, TOPICS.values()))
        yield broker.bootstrap


@pytest.fixture(scope="module")
def as_left(postgres: str, bootstrap: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database as a scheduler left it that had told the history."""
    url = named(postgres, f"test_{uuid4().hex}")
    running = Running(tmp_path_factory.mktemp("scheduler"), url, bootstrap)

    async def tell() -> None:
        await execute(postgres, f"CREATE DATABASE {url.rpartition('/')[2]}")
        process = running.start()
        await running.publish(*history())
        await running.publish(clock(T, await running.ends("campaigns")))
        await eventually(lambda: running.status(process)["watermark"].startswith(T.isoformat()[:19]), "T is reached")
        await running.until_read(process)

    try:
        asyncio.run(tell())
    finally:
        running.close()
    return url


@pytest.fixture
async def url(as_left: str) -> AsyncIterator[str]:
    url = await copied(as_left)
    yield url
    await execute(as_left.rpartition("/")[0] + "/postgres", f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)")


async def test_every_derived_table_equals_what_the_log_gives(url: str, bootstrap: str) -> None:
    verdict = await verify(url, bootstrap, REBUILT)
    assert differing(verdict) == {}
    rows = {table.name: table.rows for table in verdict.tables}
    assert rows == {"clocks": 0, "ended_campaigns": 2, "held": COUNT, "waiting": 1, "watermark": 1}


TAMPERED = {
    f"UPDATE held SET due_at = due_at + interval '1 s' WHERE recipient_id = '{SOMEBODY}'": {
        "held": {SOMEBODY: ["due_at"]}
    },
    f"UPDATE held SET release = '\\x00' WHERE recipient_id = '{SOMEBODY}'": {"held": {SOMEBODY: ["release"]}},
    f"DELETE FROM held WHERE recipient_id = '{SOMEBODY}'": {
        "held": {SOMEBODY: [MISSING]},
        "waiting": {WAITING: ["held"]},
    },
    f"""INSERT INTO held (recipient_id, campaign_id, due_at, release)
        SELECT '{GONE}', campaign_id, due_at, release FROM held LIMIT 1""": {
        "held": {GONE: [MADE_UP]},
        "waiting": {WAITING: ["held"]},
    },
    "UPDATE waiting SET held = held - 1": {"waiting": {WAITING: ["held"]}},
    "DELETE FROM waiting": {"waiting": {WAITING: [MISSING]}},
    f"INSERT INTO waiting VALUES ('{NOBODY}', '2026-03-01 13:00+00', 1)": {
        "waiting": {f"{NOBODY} 2026-03-01 13:00:00+00": [MADE_UP]}
    },
    f"UPDATE ended_campaigns SET ended_at = ended_at + interval '1 h' WHERE campaign_id = '{DROPPED}'": {
        "ended_campaigns": {DROPPED: ["ended_at"]}
    },
    f"DELETE FROM ended_campaigns WHERE campaign_id = '{DROPPED}'": {"ended_campaigns": {DROPPED: [MISSING]}},
    f"INSERT INTO ended_campaigns VALUES ('{NOBODY}', now(), NULL, '{NOBODY}')": {
        "ended_campaigns": {NOBODY: [MADE_UP]}
    },
    "UPDATE watermark SET at = at + interval '1 h'": {"watermark": {"true": ["at"]}},
    "UPDATE watermark SET at = at - interval '1 h'": {"clocks": {"2026-03-01 12:10:00+00": [MISSING]}},
    "INSERT INTO clocks VALUES ('2026-03-01 13:00+00', '{}')": {"clocks": {"2026-03-01 13:00:00+00": [MADE_UP]}},
}


@pytest.mark.parametrize("statement", TAMPERED)
async def test_what_somebody_changed_is_named(url: str, bootstrap: str, statement: str) -> None:
    await execute(url, "SET search_path TO scheduler; " + statement)
    assert await found(url, bootstrap, REBUILT) == TAMPERED[statement]


async def test_what_is_held_in_the_way_of_0_1_0_is_what_would_be_held_today(url: str, bootstrap: str) -> None:
    event = encode(processed(0, campaign_id=HELD, scheduled_for=LATER))
    assert release_of(event) and record(release_of(event))
    old = f"UPDATE scheduler.held SET release = NULL, event = '\\x{event.hex()}' WHERE recipient_id = '{SOMEBODY}'"
    await execute(url, old)
    assert await found(url, bootstrap, REBUILT) == {}
    await execute(url, f"UPDATE scheduler.held SET event = '\\x00' WHERE recipient_id = '{SOMEBODY}'")
    assert await found(url, bootstrap, REBUILT) == {"held": {SOMEBODY: ["release"]}}


async def test_what_is_held_in_the_way_of_the_version_before_is_what_would_be_held_today(
    url: str, bootstrap: str
) -> None:
    event = released(processed(0, campaign_id=HELD, scheduled_for=LATER))
    update = "UPDATE scheduler.held SET release = '\\x{}' WHERE recipient_id = '{}'"
    before = pack([(key_of(event), as_version(1, event))])
    assert before != record(event)
    await execute(url, update.format(before.hex(), SOMEBODY))
    assert await found(url, bootstrap, REBUILT) == {}
    other = pack([(key_of(event), as_version(1, replace(event, text="Another text")))])
    await execute(url, update.format(other.hex(), SOMEBODY))
    assert await found(url, bootstrap, REBUILT) == {"held": {SOMEBODY: ["release"]}}


async def test_a_repeated_press_may_be_held_again_for_a_moment(url: str, bootstrap: str, tmp_path: Path) -> None:
    """It came again after its message had left: it leaves again, as the same event."""
    running = Running(tmp_path, url, bootstrap)
    process = running.start()
    await running.publish(processed(0, campaign_id=campaign("gone"), scheduled_for=T))
    await running.until_read(process)
    running.close()
    again = release_of(encode(processed(0, campaign_id=campaign("gone"), scheduled_for=T)))
    columns, values = "recipient_id, campaign_id, due_at, release", f"'{GONE}', '{campaign('gone')}', '{T}'"
    held = f"INSERT INTO scheduler.held ({columns}) VALUES ({values}, '\\x{record(again).hex()}')"
    assert await found(url, bootstrap, REBUILT) == {}
    await execute(url, held)
    assert await found(url, bootstrap, REBUILT) == {}


async def test_it_is_equal_at_every_moment_while_messages_come_and_go(
    database_url: str, tmp_path: Path, bootstrap: str
) -> None:
    """Two instances at work; every verdict is of another moment."""
    running = Running(tmp_path, database_url, bootstrap)
    running.start(), running.start()
    told: list[Verdict] = []

    async def press() -> None:
        at = NOON
        for wave in range(12):
            id_, t = str(uuid4()), NOON + (wave + 2) * 60 * SECOND
            events: list[Event] = [created(id_, t)]
            events += [processed(n, campaign_id=id_, scheduled_for=t) for n in range(300)]
            events += [processed(n, campaign_id=id_, scheduled_for=None) for n in range(300, 600)]
            if wave % 3 == 0:
                events.append(ended(NOON + SECOND, id_, t))
            await running.publish(*events)
            at = max(at, NOON + wave * 60 * SECOND)
            await running.publish(clock(at, await running.ends("campaigns")))

    pressing = asyncio.create_task(press())
    while not pressing.done() or len(told) < 2:
        told.append(await verify(database_url, bootstrap, REBUILT))
    await pressing
    running.close()
    assert [differing(verdict) for verdict in told] == [{}] * len(told)
    assert len({verdict.events for verdict in told}) > 1, "nothing went on meanwhile"


async def test_committed_events_that_are_still_in_the_outbox_are_facts(url: str, bootstrap: str) -> None:
    """As a service leaves it that is killed before its relay has moved them."""
    connection = await asyncpg.connect(url, server_settings={"search_path": "scheduler"})
    await connection.execute(
        """WITH left_now AS (DELETE FROM held WHERE recipient_id = $1 RETURNING release)
           INSERT INTO outbox (topic, events) SELECT 'releases', release FROM left_now""",
        ANOTHER,
    )
    await connection.close()
    assert await found(url, bootstrap, REBUILT) == {}


async def test_an_event_that_was_passed_without_a_word_is_named_and_one_that_was_set_aside_is_not(
    url: str, bootstrap: str
) -> None:
    """The last test of this file: no scheduler gets past what it writes."""
    async with producer(bootstrap, "tests") as out:
        at = (await out.send_and_wait("processed", b"no event", key=b"somebody")).partition
    ends = await Running(Path(), url, bootstrap).ends("processed")
    await execute(
        url, f"UPDATE scheduler.offsets SET next_offset = {ends[at]} WHERE topic = 'processed' AND partition = {at}"
    )
    assert (await verify(url, bootstrap, REBUILT)).refused == [("processed", at, ends[at] - 1)]
    await execute(
        url, f"INSERT INTO scheduler.set_aside VALUES ('processed', {at}, {ends[at] - 1}, 'a test wrote it', 'me')"
    )
    verdict = await verify(url, bootstrap, REBUILT)
    assert (verdict.refused, verdict.passed_over) == ([], 1)
