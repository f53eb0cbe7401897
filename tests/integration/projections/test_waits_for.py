"""Why people wait, as they are told it: by the clock in the log, as it goes on and as it stands still."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from kernel.testing import clock

from tests.integration.projections.world import World

HOUR = timedelta(hours=1)
A_SECOND = timedelta(seconds=1)


def now() -> datetime:
    """Tests share the clock in the log. A T from now on is later than what the tests before it have put there."""
    return datetime.now(UTC).replace(microsecond=0)


async def sent(world: World, t: datetime | None) -> list[Any]:
    """Two people of a campaign with this T, who were SENT and have not left."""
    lives = [world.life(n) for n in range(2)]
    await world.publish([lives[0].created(scheduled_for=t), *(life.added() for life in lives)])
    await world.publish(life.processed() for life in lives)
    return lives


async def test_before_t_they_wait_for_their_time_and_nobody_waits_once_they_left(world: World) -> None:
    await world.publish([world.life(0).created(scheduled_for=now() + HOUR)])
    assert (await world.progress_is(name="spring"))["waits_for"] is None
    lives = await sent(world, now() + HOUR)
    await world.progress_is(waiting=2, waits_for="time")
    await world.publish([life.delivered() for life in lives])
    await world.progress_is(waiting=0, delivered=2, waits_for=None)


async def test_without_t_they_wait_in_the_queue(world: World) -> None:
    await sent(world, None)
    await world.progress_is(waiting=2, waits_for="queue")


async def test_after_t_they_wait_for_the_clock_until_it_gets_there(world: World) -> None:
    t = now()
    lives = await sent(world, t)
    await world.publish([clock(t - A_SECOND, {})])
    await world.progress_is(waiting=2, waits_for="clock")
    await world.publish([clock(t, {})])
    await world.progress_is(waiting=2, waits_for="queue")
    await world.publish([clock(t - HOUR, {})])
    await world.publish([life.delivered() for life in lives])
    await world.progress_is(waiting=0, waits_for=None)


async def test_what_is_ended_before_t_needs_no_clock(world: World) -> None:
    lives = await sent(world, now() + HOUR)
    await world.progress_is(waiting=2, waits_for="time")
    await world.publish([lives[0].ended()])
    await world.progress_is(waiting=2, waits_for="queue", state="completed")


async def test_listeners_hear_that_the_clock_is_late_and_that_it_has_come(world: World) -> None:
    t = now() + 5 * A_SECOND
    await sent(world, t)
    await world.progress_is(waiting=2, waits_for="time")
    ids, told = [], []
    async with world.listening() as listener:
        while "clock" not in told:
            id_, figures = await listener.next(within_s=20)
            ids.append(id_)
            told.append(figures.pop("waits_for"))
    assert told == [why for why in ("time", "queue", "clock") if why in told], "each once, in this order"
    assert len(set(ids)) == len(ids) and len({id_.partition(".")[0] for id_ in ids}) == 1, "the figures are the same"

    async with world.listening(last_event_id=ids[-1]) as resumed, world.listening(last_event_id=ids[0]) as missed:
        assert (await missed.next())[0] == ids[-1], "who heard of the time only hears of the clock"
        waiting = asyncio.create_task(resumed.next(within_s=20))
        await world.progress_is(waiting=2, waits_for="clock")
        assert not waiting.done(), "what the listener has is not told again"
        await world.publish([clock(t, {})])
        assert (await waiting)[1]["waits_for"] == (await missed.next(within_s=20))[1]["waits_for"] == "queue"


async def test_figures_that_change_tell_why_they_wait(world: World) -> None:
    lives = await sent(world, now() + HOUR)
    await world.progress_is(waiting=2)
    async with world.listening() as listener:
        assert (await listener.next())[1]["waits_for"] == "time"
        await world.publish([lives[0].delivered()])
        assert (await listener.next())[1]["waits_for"] == "time"
        await world.publish([lives[1].delivered()])
        id_, figures = await listener.next()
        assert figures["waits_for"] is None and id_.replace(".", "", 1).isdecimal()
