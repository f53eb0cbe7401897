"""The scheduler on a real Postgres: the outcome follows from the log alone, whatever the order it is read in."""

import itertools
from datetime import timedelta

import pytest
from kernel.testing import CAMPAIGN, NOON, clock, created, ended, number, processed

from schemas.events import Event, MessageDropped, MessageReleased
from schemas.identity import HANDSENT, uuid5
from tests.integration.scheduler.conftest import Instance, Schedulers

SECOND = timedelta(seconds=1)
T = NOON + 600 * SECOND
BEFORE_T, AFTER_T = T - SECOND, T + SECOND
NOTHING = {0: 0, 1: 0, 2: 0, 3: 0}


def press(n: int = 1, **about: object) -> Event:
    """A SEND before T."""
    return processed(n, scheduled_for=T, **about)  # type: ignore[arg-type]


async def test_what_is_not_scheduled_goes_at_once_without_a_clock(schedulers: Schedulers, one: Instance) -> None:
    event = processed(1)
    await one.read(event)
    [released] = await schedulers.out()
    assert isinstance(released, MessageReleased)
    assert (released.due_at, released.occurred_at, released.caused_by) == (NOON, NOON, event.event_id)
    assert (released.number, released.text, released.sender) == (event.number, event.text, event.sender)


async def test_a_send_after_t_goes_at_once(schedulers: Schedulers, one: Instance) -> None:
    await one.read(processed(1, at=AFTER_T, scheduled_for=T))
    assert [event.due_at for event in await schedulers.out()] == [AFTER_T]


async def test_a_send_before_t_is_held_until_the_watermark_covers_t(schedulers: Schedulers, one: Instance) -> None:
    await one.read(press())
    await one.read(clock(BEFORE_T, NOTHING))
    assert await schedulers.out() == []
    assert await schedulers.held() == 1
    await one.read(clock(T, NOTHING))
    [released] = await schedulers.until_out(1)
    assert (type(released), released.occurred_at) == (MessageReleased, T)
    assert await schedulers.held() == 0


async def test_one_that_arrives_after_its_time_waits_for_nothing_else(schedulers: Schedulers, one: Instance) -> None:
    await one.read(clock(AFTER_T, NOTHING))
    await one.read(press())
    assert len(await schedulers.until_out(1)) == 1


@pytest.mark.parametrize("order", list(itertools.permutations(["created", "press", "end", "clock"])))
async def test_an_end_before_t_drops_whatever_the_order_of_arrival(
    schedulers: Schedulers, one: Instance, order: tuple[str, ...]
) -> None:
    """The END lies in partition 2 of `campaigns`; the clock knows that it does."""
    events = {
        "created": (created(scheduled_for=T), 1),
        "press": (press(), 0),
        "end": (ended(BEFORE_T, scheduled_for=T), 2),
        "clock": (clock(T, {**NOTHING, 2: 1}), 0),
    }
    for name in order:
        event, partition = events[name]
        await one.read(event, partition=partition)
    [dropped] = await schedulers.until_out(1)
    end = events["end"][0]
    assert isinstance(dropped, MessageDropped)
    assert (dropped.reason, dropped.occurred_at, dropped.caused_by) == ("campaign_ended", BEFORE_T, end.event_id)
    assert await schedulers.held() == 0


@pytest.mark.parametrize("at", [T, T + timedelta(microseconds=1), AFTER_T])
async def test_an_end_at_t_or_after_it_still_texts_who_was_sent(
    schedulers: Schedulers, one: Instance, at: object
) -> None:
    await one.read(press())
    await one.read(ended(at, scheduled_for=T))  # type: ignore[arg-type]
    assert await schedulers.out() == []
    await one.read(clock(AFTER_T + SECOND, {**NOTHING, 0: 1}))
    assert [type(event) for event in await schedulers.until_out(1)] == [MessageReleased]


async def test_an_end_of_what_is_not_scheduled_drops_nobody(schedulers: Schedulers, one: Instance) -> None:
    await one.read(ended(NOON - SECOND))
    await one.read(processed(1))
    assert [type(event) for event in await schedulers.out()] == [MessageReleased]


async def test_time_does_not_go_on_before_every_end_it_knows_of_is_read(schedulers: Schedulers, one: Instance) -> None:
    async def watermark() -> object:
        return await schedulers.pool.fetchval("SELECT at FROM watermark")

    await one.read(press(1), press(2, campaign_id=uuid5(HANDSENT, "another")))
    await one.read(clock(BEFORE_T, NOTHING))
    await one.read(clock(T, {**NOTHING, 1: 1, 3: 2}))
    assert await watermark() == BEFORE_T, "two partitions are not read so far"
    await one.read(created(), created(), partition=3)
    assert await watermark() == BEFORE_T, "one partition is not read so far"
    assert await schedulers.out() == []
    await one.read(ended(BEFORE_T, scheduled_for=T), partition=1)
    assert await watermark() == T
    decided = {event.campaign_id == CAMPAIGN: type(event) for event in await schedulers.until_out(2)}
    assert decided == {True: MessageDropped, False: MessageReleased}


async def test_time_never_goes_back(schedulers: Schedulers, one: Instance) -> None:
    await one.read(clock(T, NOTHING), clock(BEFORE_T, NOTHING))
    assert await schedulers.pool.fetchval("SELECT at FROM watermark") == T
    assert await schedulers.pool.fetchval("SELECT count(*) FROM clocks") == 0


async def test_events_that_come_twice_lead_to_the_same_bytes(schedulers: Schedulers, one: Instance) -> None:
    late, early = processed(1), press(2)
    await one.read(late, late, early, early)
    await one.read(clock(T, NOTHING), clock(T, NOTHING))
    await schedulers.until_out(3)
    await one.read(early, late, early)
    await schedulers.until_out(5)
    assert len(set(await schedulers.bytes_out())) == 2


async def test_the_same_log_leads_to_the_same_bytes_in_another_database(schedulers: Schedulers, one: Instance) -> None:
    await one.read(*(press(n) for n in range(5)))
    await one.read(ended(BEFORE_T, scheduled_for=T))
    await schedulers.until_out(5)
    first = sorted(await schedulers.bytes_out())
    await schedulers.pool.execute("TRUNCATE outbox, held, waiting, ended_campaigns; UPDATE offsets SET next_offset = 0")
    again = await schedulers.start()
    await again.read_on(("campaigns", 0), ("processed", 0))
    await schedulers.until_out(5)
    assert sorted(await schedulers.bytes_out()) == first


async def test_what_was_dropped_before_it_was_held_is_dropped_once(schedulers: Schedulers, one: Instance) -> None:
    await one.read(ended(BEFORE_T, scheduled_for=T))
    await one.read(press(), press())
    assert len(set(await schedulers.bytes_out())) == 1
    assert await schedulers.held() == 0


async def test_instances_share_what_is_due_and_release_nothing_twice(schedulers: Schedulers) -> None:
    count = 20_000
    instances = [await schedulers.start(chunk=500) for _ in range(3)]
    await instances[0].read(*(press(n) for n in range(count)))
    await instances[0].read(clock(T, NOTHING))
    for instance in instances:
        instance.releases.go_on()  # another process is not told; it looks once a second
    released = await schedulers.until_out(count)
    assert sorted(event.number for event in released if isinstance(event, MessageReleased)) == [
        number(n) for n in range(count)
    ]
    assert await schedulers.held() == 0
