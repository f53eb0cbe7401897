"""A carrier that fails, limits, and persons who wait, seen from outside: by the ledger, the log and the API."""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from kernel.tokens import Role

from tests.integration.dispatcher.world import World, eventually
from tests.integration.process import free_port


@asynccontextmanager
async def under(world: World, **environment: str) -> AsyncIterator[None]:
    """The stack's dispatcher makes room for one with these settings."""
    stack = world.stack
    own = stack.a_dispatcher(free_port(), **environment)
    stack.dispatcher.stop(signal.SIGTERM)
    own.start()
    try:
        yield
    finally:
        own.stop(signal.SIGTERM)
        stack.dispatcher.start()


async def test_a_carrier_that_answers_500_to_all_costs_what_is_under_way_and_the_others_wait(sending: World) -> None:
    other = World(sending.stack, sending.http, sending.database, sending.vault)
    await other.publish(other.created())
    numbers = [sending.number() for _ in range(600)]
    await sending.faults(fail_after_accept=1, receipts={"silent": 1})
    await sending.publish(*map(sending.released, numbers))

    async def resting() -> bool:
        _, page = await sending.call("GET", "/queue", Role.AUDITOR)
        [row] = page["senders"]
        return bool(
            row["breaker"] != "closed" and row["waiting"].get("breaker") and row["unknown"].get("carrier_error")
        )

    await eventually(resting, lambda: "the sender's breaker is open, and the API says so")
    await asyncio.sleep(2)
    lost = await sending.database.fetchval("SELECT count(*) FROM unknowns WHERE sender = $1", sending.sender)
    assert lost <= 128 + 10 + 5  # the connections, those that opened it, a probe for each pause
    await sending.faults()
    number = other.number()
    await other.publish(other.released(number))
    await other.told(number, until="MessageDelivered")  # another sender's never stopped
    await other.close()

    async def all_known() -> bool:
        ended = {"MessageUnresolved", "MessageDelivered"}
        return all(ended & set(story) for story in await sending.told(*numbers))

    await eventually(all_known, lambda: "the others are sent", patience_s=30)
    stories = await sending.told(*numbers)
    assert sum("MessageUnresolved" in story for story in stories) <= lost + 5
    assert max(Counter(line["to"] for line in await sending.ledger(*numbers)).values()) == 1


async def test_a_sender_s_limit_holds_at_the_carrier_also_right_after_a_start(sending: World) -> None:
    numbers = [sending.number() for _ in range(60)]
    async with under(sending, SENDER_SEGMENTS_PER_S="20"):
        await sending.publish(*map(sending.released, numbers))
        await sending.told(*numbers, until="MessageAccepted")
    times = sorted(datetime.fromisoformat(line["received_at"]).timestamp() for line in await sending.ledger(*numbers))
    assert len(times) == len(numbers)
    assert max(sum(at <= other < at + 1 for other in times) for at in times) <= 20 + 2 + 3  # bucket, way to the carrier
    assert times[-1] - times[0] >= (len(numbers) - 3) / 20 - 0.5


async def test_a_later_text_waits_for_an_unknown_outcome_and_follows_the_receipt_that_resolves_it(
    sending: World,
) -> None:
    number = sending.number()[:-4] + "0013"  # takes it, cuts the connection, the receipt follows after 3 s
    await sending.publish(sending.released(number))
    await sending.told(number, until="MessageUnresolved")
    later = World(sending.stack, sending.http, sending.database, sending.vault)
    later.account_id, later.sender, later.tokens = sending.account_id, sending.sender, sending.tokens
    await later.publish(later.created(), later.released(number))

    async def waits() -> bool:
        _, page = await sending.call("GET", "/queue")
        return bool(page["senders"][0]["waiting"] == {"unknown": 1})

    await eventually(waits, lambda: "the API says that it waits, and for what")
    assert await later.told(number) == [[]]
    await sending.told(number, until="MessageAccepted")
    await eventually(lambda: _left(later, number), lambda: "the later text leaves")
    await later.close()


async def _left(world: World, number: str) -> bool:
    return "SendAttempted" in (await world.told(number))[0]
