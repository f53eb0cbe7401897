"""The same promises against a Twilio that others wrote: its own list of messages says who was texted."""

import asyncio
import random
import signal
from collections.abc import Iterable

from tests.integration.dispatcher.world import World, eventually
from tests.integration.foreign.conftest import CONNECTIONS
from tests.integration.foreign.emulate import Emulate
from tests.integration.process import Process, free_port

PEOPLE, KILLS = 600, 4
AT_ONCE = 16
STATES = """SELECT DISTINCT ON (recipient_id) recipient_id::text AS rid, state FROM attempts
             JOIN messages USING (recipient_id) WHERE campaign_id = $1 ORDER BY recipient_id, attempt DESC"""


async def test_nobody_is_texted_twice_and_nobody_is_lost_though_dispatchers_are_killed(
    world: World, emulate: Emulate
) -> None:
    seed = random.randrange(10**6)
    numbers = [world.number() for _ in range(PEOPLE)]
    other = world.stack.a_dispatcher(free_port())
    try:
        await asyncio.to_thread(other.start)
        await world.publish(*map(world.released, numbers))
        await _kill_by_turns([world.stack.dispatcher, other], random.Random(seed), world, emulate)
        await eventually(lambda: _all_sent(world), lambda: f"seed {seed}: everyone has an outcome", 60)
    finally:
        other.stop(signal.SIGKILL)
    texted = await emulate.texted(world.http, world.sender)
    assert set(texted.values()) == {1} and set(texted) <= set(numbers), f"seed {seed}"
    await _deliver_all(world, emulate)
    states = await _states(world)
    told = {number: states[world.rid(number)] for number in numbers}
    assert {number for number, state in told.items() if state == "delivered"} == set(texted), f"seed {seed}"
    unknown = [number for number, state in told.items() if state == "unknown"]
    assert len(unknown) == PEOPLE - len(texted) <= KILLS * CONNECTIONS, f"seed {seed}"


async def _kill_by_turns(members: list[Process], rng: random.Random, world: World, emulate: Emulate) -> None:
    """kill -9 of one while the other works, each time some more have been texted."""
    for number in range(KILLS):
        enough = (number + 1) * PEOPLE // (KILLS + 2)

        async def so_many(enough: int = enough) -> bool:
            return (await emulate.texted(world.http, world.sender)).total() >= enough

        await eventually(so_many, lambda enough=enough: f"{enough} are texted", 60)
        await asyncio.sleep(rng.uniform(0, 0.1))
        member = members[number % len(members)]
        member.stop(signal.SIGKILL)
        await asyncio.to_thread(member.start)


async def _all_sent(world: World) -> bool:
    states = await _states(world)
    return len(states) == PEOPLE and not {"open", "refused"} & set(states.values())


async def _states(world: World) -> dict[str, str]:
    rows = await world.database.fetch(STATES, world.campaign_id)
    return {row["rid"]: row["state"] for row in rows}


async def _deliver_all(world: World, emulate: Emulate) -> None:
    """They report each message as delivered, through our webhook, which they ask and sign in their own way."""
    messages = iter([message["sid"] for message in await emulate.messages(world.http, world.sender)])

    async def report(ids: Iterable[str]) -> None:
        for message_id in ids:
            await emulate.reports(world.http, message_id, "delivered")

    await asyncio.gather(*(report(messages) for _ in range(AT_ONCE)))


async def test_a_sender_that_is_not_the_account_s_is_rejected_with_their_code(world: World, emulate: Emulate) -> None:
    number, world.sender = world.number(), "+12025550199"
    await world.publish(world.released(number))
    [story] = await world.told(number, until="MessageRejected")
    assert story[-1] == "MessageRejected" and not await emulate.texted(world.http, world.sender)
    row = await world.database.fetchrow("SELECT carrier_code FROM attempts WHERE recipient_id = $1", world.rid(number))
    assert row is not None and row["carrier_code"] == "21606"


async def test_their_stop_is_in_force_when_they_have_been_answered(world: World, emulate: Emulate) -> None:
    number = world.number()
    await emulate.replies(world.http, number, world.sender, "STOP")
    await world.publish(world.released(number))
    [story] = await world.told(number, until="MessageSuppressed")
    assert story == ["MessageSuppressed"] and not await emulate.texted(world.http, world.sender)
