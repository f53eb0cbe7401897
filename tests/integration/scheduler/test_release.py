"""Letting go on a real Postgres: in order, fairly, by several at once, and never more than once."""

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from kernel.outbox import pack, unpack
from kernel.testing import CAMPAIGN, NOON, as_version, clock, created, ended, eventually, number, processed
from scheduler import store
from scheduler.lateness import Lateness
from scheduler.release import Waiting, released
from scheduler.store import Ask

from schemas.codec import encode, key_of
from schemas.events import MessageDropped, MessageReleased, RecipientProcessed
from schemas.identity import HANDSENT, uuid5
from tests.integration.scheduler.conftest import Instance, Schedulers

SECOND = timedelta(seconds=1)
T = NOON + 600 * SECOND
NOTHING = {0: 0, 1: 0, 2: 0, 3: 0}


def campaign(name: object) -> str:
    return uuid5(HANDSENT, f"campaign {name}")


def presses(name: object, count: int, t: datetime = T) -> list[RecipientProcessed]:
    return [processed(n, campaign_id=campaign(name), scheduled_for=t) for n in range(count)]


async def counted(schedulers: Schedulers) -> bool:
    """`waiting` says what `held` holds."""
    differ = await schedulers.pool.fetch(
        """SELECT campaign_id, due_at, count(*) FROM held GROUP BY 1, 2 EXCEPT SELECT * FROM waiting
           UNION ALL (SELECT * FROM waiting EXCEPT SELECT campaign_id, due_at, count(*) FROM held GROUP BY 1, 2)"""
    )
    return not differ


async def test_what_is_due_first_goes_first(schedulers: Schedulers, one: Instance) -> None:
    times = [T + n * SECOND for n in (3, 1, 2)]
    for t in times:
        await one.read(*presses(t, 20, t))
    await one.read(clock(T + 10 * SECOND, NOTHING))
    out = await schedulers.until_out(60)
    assert [event.due_at for event in out] == [t for t in sorted(times) for _ in range(20)]


async def test_a_campaign_s_messages_go_in_the_order_of_their_sends(schedulers: Schedulers, one: Instance) -> None:
    events = presses("a", 50)
    await one.read(*events)
    await one.read(clock(T, NOTHING))
    out = await schedulers.until_out(50)
    assert [event.recipient_id for event in out] == [event.recipient_id for event in events]


async def test_the_few_of_one_campaign_do_not_wait_for_the_many_of_another(schedulers: Schedulers) -> None:
    one = await schedulers.start(chunk=100)
    await one.read(*presses("many", 5_000))
    await one.read(*presses("few", 100, T + SECOND))
    await one.read(clock(T + SECOND, NOTHING))
    out = await schedulers.until_out(5_100)
    last_of_few = max(at for at, event in enumerate(out) if event.campaign_id == campaign("few"))
    assert last_of_few <= 400, "the few have half of each chunk until they are through"


async def test_an_end_of_many_does_not_hold_up_what_is_due(schedulers: Schedulers) -> None:
    one = await schedulers.start(chunk=100)
    await one.read(*presses("ended", 5_000, T + 60 * SECOND))
    await one.read(*presses("due", 300))
    await one.read(ended(T - SECOND, campaign("ended"), T + 60 * SECOND))
    await one.read(clock(T, {**NOTHING, 0: 1}))
    out = await schedulers.until_out(5_300)
    assert Counter(type(event) for event in out) == {MessageDropped: 5_000, MessageReleased: 300}
    first = next(at for at, event in enumerate(out) if isinstance(event, MessageReleased))
    last = max(at for at, event in enumerate(out) if isinstance(event, MessageReleased))
    assert last - first <= 700, "between two chunks of what is due is one chunk of what is dropped"


async def test_thousands_of_campaigns_due_at_once_all_go(schedulers: Schedulers) -> None:
    one = await schedulers.start(chunk=500)
    for at in range(0, 2_500, 500):
        await one.read(*(presses(n, 1)[0] for n in range(at, at + 500)))
    await one.read(clock(T, NOTHING))
    assert len({event.campaign_id for event in await schedulers.until_out(2_500)}) == 2_500
    assert await schedulers.held() == 0


async def test_what_another_instance_has_locked_is_left_to_it_and_taken_when_it_dies(schedulers: Schedulers) -> None:
    await (await schedulers.start()).read(*presses("a", 100))
    await schedulers.stop()
    connection = await schedulers.pool.acquire()
    transaction = connection.transaction()
    await transaction.start()
    one = await schedulers.start(chunk=10)
    await store.take(connection, Ask([Waiting(campaign("a"), T, None)], {}, 30))
    asyncio.get_running_loop().call_later(0.5, lambda: asyncio.ensure_future(transaction.rollback()))
    await one.read(clock(T, NOTHING))
    out = await schedulers.until_out(100)
    await schedulers.pool.release(connection)
    assert len({event.recipient_id for event in out}) == len(out) == 100


async def test_counts_follow_the_rows_through_everything(schedulers: Schedulers) -> None:
    instances = [await schedulers.start(chunk=50) for _ in range(2)]
    for n in range(6):
        await instances[n % 2].read(*presses(n % 3, 40 * (n + 1), T + n % 3 * SECOND), partition=n % 2)
        assert await counted(schedulers)
    assert await schedulers.held() == 40 * 6 + 40 * 5 + 40 * 4, "repeats are held once"
    await instances[0].read(ended(NOON, campaign(1), T + SECOND), partition=1)
    await instances[0].read(clock(T, {**NOTHING, 1: 1}))
    await schedulers.until_out(40 * 4 + 40 * 5)
    assert await counted(schedulers)
    await instances[1].read(clock(T + 2 * SECOND, {**NOTHING, 1: 1}), partition=0)
    await schedulers.until_out(40 * 6 + 40 * 5 + 40 * 4)
    assert await counted(schedulers)
    assert await schedulers.pool.fetchval("SELECT count(*) FROM waiting") == 0


async def test_messages_that_0_1_0_held_go_or_are_dropped_as_ever(schedulers: Schedulers) -> None:
    going, dropping = presses("going", 30), presses("dropping", 30)
    await schedulers.pool.executemany(
        "INSERT INTO held (recipient_id, campaign_id, due_at, event) VALUES ($1, $2, $3, $4)",
        [(e.recipient_id, e.campaign_id, e.due_at, encode(e)) for e in going + dropping],
    )
    one = await schedulers.start(chunk=7)
    await one.read(*presses("going", 60))
    await one.read(ended(NOON, campaign("dropping"), T))
    await one.read(clock(T, {**NOTHING, 0: 1}))
    out = await schedulers.until_out(90)
    assert Counter(type(event) for event in out) == {MessageReleased: 60, MessageDropped: 30}
    texts = {e.recipient_id: (e.number, e.text, e.sender) for e in out if isinstance(e, MessageReleased)}
    assert texts == {e.recipient_id: (e.number, e.text, e.sender) for e in presses("going", 60)}


async def test_what_the_version_before_had_packed_goes_as_it_packed_it_or_is_dropped(schedulers: Schedulers) -> None:
    """It knew of no latest useful time, so there is none; its bytes are its event's, and stay so."""
    going, dropping = presses("going", 30), presses("dropping", 30)
    packed = [pack([(key_of(e), as_version(1, e))]) for e in map(released, going + dropping)]
    await schedulers.pool.executemany(
        "INSERT INTO held (recipient_id, campaign_id, due_at, release) VALUES ($1, $2, $3, $4)",
        [(e.recipient_id, e.campaign_id, e.due_at, p) for e, p in zip(going + dropping, packed, strict=True)],
    )
    one = await schedulers.start(chunk=7)
    await one.read(*presses("going", 60))
    await one.read(ended(NOON, campaign("dropping"), T))
    await one.read(clock(T, {**NOTHING, 0: 1}))
    out = await schedulers.until_out(90)
    assert Counter(type(event) for event in out) == {MessageReleased: 60, MessageDropped: 30}
    assert all(event.useful_until is None for event in out if isinstance(event, MessageReleased))
    before = {value for blob in packed[:30] for _, value in unpack(blob)}
    assert before <= set(await schedulers.bytes_out())


async def test_a_latest_useful_time_passes_through_whether_it_waits_or_not(schedulers: Schedulers) -> None:
    until = T + 3600 * SECOND
    events = [replace(event, useful_until=until) for event in [*presses("going", 3), processed(9)]]
    one = await schedulers.start()
    await one.read(*events)
    await one.read(clock(T, NOTHING))
    out = await schedulers.until_out(4)
    assert [event.useful_until for event in out if isinstance(event, MessageReleased)] == [until] * 4


async def test_lateness_is_from_due_to_released(schedulers: Schedulers, one: Instance) -> None:
    long_ago = await schedulers.pool.fetchval("SELECT clock_timestamp() - interval '1 hour'")
    event = processed(1, at=long_ago - SECOND, scheduled_for=long_ago)
    await one.read(event)
    await one.read(clock(long_ago, NOTHING))
    await schedulers.until_out(1)
    lateness: Lateness = one.lateness
    await eventually(lambda: lateness.summary()["messages"] == 1)
    assert 3600 <= (lateness.summary()["max_s"] or 0) < 3700


@pytest.mark.parametrize("due_at", [T + SECOND, NOON - SECOND])
async def test_a_message_due_at_no_time_of_its_own_stops_its_partition(
    schedulers: Schedulers, one: Instance, due_at: datetime
) -> None:
    wrong = replace(processed(2, scheduled_for=T), due_at=due_at)
    await one.read(processed(1), wrong, processed(3))
    assert [event.number for event in await schedulers.out() if isinstance(event, MessageReleased)] == [number(1)]
    [stopped] = await schedulers.pool.fetch("SELECT topic, event_offset, error FROM stopped")
    assert (stopped["topic"], stopped["event_offset"]) == ("processed", 1)
    assert "due" in stopped["error"]


async def test_a_reading_that_waits_for_a_new_campaign_is_followed_at_once(
    schedulers: Schedulers, one: Instance
) -> None:
    """Not only ENDs are in `campaigns`: whatever was read there can be what the reading waited for."""
    await one.read(*presses("a", 1))
    await one.read(clock(T, {**NOTHING, 0: 1}))
    await one.read(created(CAMPAIGN, T))
    assert len(await schedulers.until_out(1)) == 1
