"""From a release to the carrier and back."""

import asyncio

from schemas.events import MessageDropped
from schemas.reasons import DropReason, FailureReason
from tests.integration.dispatcher.world import NOON, World, eventually

WHOLE_STORY = ["SendAttempted", "MessageAccepted", "MessageDelivered"]


async def test_a_released_message_is_posted_once_and_delivered(sending: World) -> None:
    number = sending.number()
    await sending.publish(sending.released(number, text="Hi Ada, 1 + 1 = 2 & more"))
    assert await sending.told(number, until="MessageDelivered") == [WHOLE_STORY]
    [line] = await sending.ledger(number)
    assert (line["body"], line["from"]) == ("Hi Ada, 1 + 1 = 2 & more", sending.sender)


async def test_a_release_repeated_at_any_time_texts_nobody_again(sending: World) -> None:
    number, last = sending.number(), sending.number()
    release = sending.released(number)
    await sending.publish(release, release)
    await sending.told(number, until="MessageDelivered")
    await sending.publish(release, sending.released(last))
    assert await sending.told(number, last, until="MessageDelivered") == [WHOLE_STORY, WHOLE_STORY]
    assert await sending.posts(number) == 1


async def test_a_dropped_message_is_not_sent(sending: World) -> None:
    number, sent = sending.number(), sending.number()
    release = sending.released(number)
    about = {name: getattr(release, name) for name in ("account_id", "campaign_id", "recipient_id", "person_id")}
    dropped = MessageDropped(
        event_id=release.event_id, **about, occurred_at=NOON, actor="scheduler", caused_by=None, due_at=NOON,
        scheduled_for=NOON, reason=DropReason.CAMPAIGN_ENDED,
    )  # fmt: skip
    await sending.publish(dropped, sending.released(sent))
    assert await sending.told(sent, until="MessageDelivered") == [WHOLE_STORY]
    assert await sending.posts(number) == 0


async def test_a_release_that_comes_before_its_campaign_is_sent_all_the_same(world: World) -> None:
    number = world.number()
    await world.publish(world.released(number))
    assert await world.told(number, until="MessageDelivered") == [WHOLE_STORY]


async def test_a_throttled_message_waits_and_is_taken_once(sending: World) -> None:
    number = sending.number()[:-4] + "0014"  # 429 with Retry-After 1 the first time
    await sending.publish(sending.released(number))
    [story] = await sending.told(number, until="MessageDelivered")
    assert story == ["SendAttempted", "SendNotAccepted", *WHOLE_STORY]
    assert [line["status"] for line in await sending.ledger(number)] == [429, 201]


async def test_a_refusal_has_its_reason_and_an_opt_out_at_the_carrier_becomes_ours(sending: World) -> None:
    number = sending.number()[:-4] + "0010"
    await sending.publish(sending.released(number))
    await sending.told(number, until="MessageRejected")
    [rejected] = [e for e in await sending.log("dispatches") if type(e).__name__ == "MessageRejected"]
    assert (rejected.reason, rejected.carrier_code) == (FailureReason.OPTED_OUT, "21610")

    async def recorded() -> bool:
        return [(e.person_id, e.source) for e in await sending.log("opt-outs")] == [(sending.person(number), "carrier")]

    await eventually(recorded, lambda: "the carrier's opt-out is an event")


async def test_a_cut_connection_is_unknown_and_never_sent_again_until_the_receipt_tells(sending: World) -> None:
    number = sending.number()[:-4] + "0013"  # takes it, cuts the connection, the receipt follows after 3 s
    await sending.publish(sending.released(number))
    await sending.told(number, until="MessageUnresolved")
    status, answer = await sending.call("GET", "/unresolved")
    assert (status, [(row["recipient_id"], row["reason"]) for row in answer["unresolved"]]) == (
        200,
        [(sending.rid(number), "connection_lost")],
    )
    [story] = await sending.told(number, until="MessageDelivered")
    assert story == ["SendAttempted", "MessageUnresolved", "MessageAccepted", "MessageDelivered"]
    assert await sending.posts(number) == 1
    assert (await sending.call("GET", "/unresolved"))[1] == {"unresolved": []}


async def test_a_server_error_is_unknown_until_an_operator_says_what_happened(sending: World) -> None:
    number = sending.number()[:-4] + "0016"  # 500 without taking it
    await sending.publish(sending.released(number))
    await sending.told(number, until="MessageUnresolved")
    path = f"/unresolved/{sending.rid(number)}"
    assert (await sending.call("POST", path, json={"resolution": "accepted"}))[0] == 422
    status, _ = await sending.call("POST", path, json={"resolution": "rejected", "reason": "their support says so"})
    assert status == 200
    assert (await sending.told(number, until="MessageRejected"))[0][-2:] == ["MessageUnresolved", "MessageRejected"]
    assert (await sending.call("POST", path, json={"resolution": "accepted", "reason": "no"}))[0] == 409
    assert await sending.posts(number) == 1


async def test_receipts_repeated_and_out_of_order_end_the_same(sending: World) -> None:
    thrice, recovering = sending.number()[:-4] + "0018", sending.number()[:-4] + "0017"
    await sending.publish(sending.released(thrice), sending.released(recovering))
    stories = await sending.told(thrice, recovering, until="MessageDelivered")
    failed_first = ["SendAttempted", "MessageAccepted", "MessageNotDelivered", "MessageDelivered"]
    assert stories == [WHOLE_STORY, failed_first]


async def test_a_receipt_that_overtakes_the_answer_resolves_the_attempt(sending: World) -> None:
    await sending.faults(receipts={"shuffle": 1, "delay_ms": 0})
    numbers = [sending.number() for _ in range(10)]
    await sending.publish(*map(sending.released, numbers))
    assert await sending.told(*numbers, until="MessageDelivered") == [WHOLE_STORY] * len(numbers)


async def test_a_carrier_that_is_away_costs_few_attempts_and_nobody_is_lost(sending: World) -> None:
    numbers = [sending.number() for _ in range(40)]
    sending.stack.carrier.stop()
    try:
        await sending.publish(*map(sending.released, numbers))
        await asyncio.sleep(1)
    finally:
        sending.stack.carrier.start()
    stories = await sending.told(*numbers, until="MessageDelivered")
    assert all(story[-3:] == WHOLE_STORY for story in stories)
    assert sum(story.count("SendNotAccepted") for story in stories) <= 2 * len(numbers)
    assert [await sending.posts(number) for number in numbers] == [1] * len(numbers)


async def test_a_large_campaign_does_not_delay_another(world: World) -> None:
    large, small = world, World(world.stack, world.http, world.database, world.vault)
    await large.faults(latency_ms=100)  # 64 connections: 640/s, so the large one takes 3 s
    numbers, number = [large.number() for _ in range(2000)], small.number()
    await large.publish(*map(large.released, numbers))
    await eventually(lambda: _has_begun(large), lambda: "the large campaign has begun")
    await small.publish(small.released(number))
    await small.told(number, until="MessageAccepted")
    await small.close()
    waiting = await large.database.fetchval("SELECT count(*) FROM queue JOIN messages USING (recipient_id)")
    assert waiting > 200


async def _has_begun(world: World) -> bool:
    return bool(await world.database.fetchval("SELECT 1 FROM in_flight LIMIT 1"))
