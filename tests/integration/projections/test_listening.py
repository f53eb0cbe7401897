"""A hundred people watch: each hears the last figures, every message adds up, nobody hears of another campaign."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

from tests.integration.projections.world import Listener, World

LISTENERS = 100
WITHIN_S = 15.0


def adds_up(told: dict[str, Any]) -> bool:
    return bool(
        told["recipients"] == told["unprocessed"] + told["processed"]
        and told["processed"] == told["waiting"] + told["suppressed"] + told["dropped"] + told["sent"]
        and told["sent"] == told["delivered"] + told["not_delivered"]
        and told["not_delivered"] == told["failed"] + told["awaiting"] + told["unconfirmed"] + told["unknown"]
    )


async def heard_until(listener: Listener, **wanted: int) -> list[tuple[int, Any]]:
    """Everything that is told until it is this: (how many events it counts, figures)."""
    found: list[tuple[int, Any]] = []
    async with asyncio.timeout(WITHIN_S):
        while not found or {name: found[-1][1][name] for name in wanted} != wanted:
            id_, figures = await listener.next(WITHIN_S)
            found.append((int(id_.partition(".")[0]), figures))
    return found


async def test_a_hundred_listeners_hear_the_same_and_it_adds_up(world: World) -> None:
    lives = [world.life(n) for n in range(40)]
    await world.publish([lives[0].created(), *(life.added() for life in lives)])
    await world.progress_is(recipients=40)
    async with AsyncExitStack() as stack:
        listeners = [await stack.enter_async_context(world.listening()) for _ in range(LISTENERS)]
        hearing = [asyncio.create_task(heard_until(one, delivered=30, unprocessed=10)) for one in listeners]
        for life in lives[:30]:
            await world.publish([life.processed(), life.attempted(), life.accepted(), life.delivered()])
            await asyncio.sleep(0.02)  # a stream of news, not one
        told = await asyncio.gather(*hearing)
    for messages in told:
        versions = [version for version, _ in messages]
        assert versions == sorted(set(versions)), "nobody is told twice, or of the past"
        assert all(adds_up(figures) for _, figures in messages)
    assert len({messages[-1][0] for messages in told}) == 1
    assert max(len(messages) for messages in told) > 2


async def test_listeners_of_other_campaigns_hear_nothing_of_it(world: World) -> None:
    other = world.life(0, campaign="summer")
    await world.publish([world.life(0).created(), world.life(0).added(), other.created(), other.added()])
    await world.progress_is(recipients=1, name="spring")
    world.campaign_id, mine = other.campaign_id, world.campaign_id
    await world.progress_is(recipients=1, name="summer")
    async with world.listening() as watching:
        await watching.next()
        world.campaign_id = mine
        await world.publish([world.life(1).added()])
        await world.progress_is(recipients=2)
        await world.publish([world.life(1, campaign="summer").added()])
        _, figures = await watching.next()
        assert (figures["campaign_id"], figures["recipients"]) == (other.campaign_id, 2)
