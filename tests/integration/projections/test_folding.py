"""The log becomes the read models: in order, repeated, out of order, with an event nobody can read, killed."""

import random
import signal

import asyncpg
from kernel import quarantine
from kernel.database import connect

from schemas.codec import key_of
from tests.integration.projections.world import Service, World, eventually


def sent(world: World, n: int) -> list[object]:
    life = world.life(n)
    return [life.added(), life.processed(), life.released(), life.attempted(), life.accepted()]


async def test_progress_follows_the_log(world: World) -> None:
    lives = [world.life(n) for n in range(9)]
    await world.publish([lives[0].created(), *(life.added() for life in lives)])
    answer = await world.progress_is(recipients=9, unprocessed=9)
    assert (answer["name"], answer["state"], answer["campaign_id"]) == ("spring", "current", world.campaign_id)
    await world.publish(life.processed() for life in lives[1:])
    await world.progress_is(waiting=8)
    await world.publish([lives[1].dropped(), *(life.released() for life in lives[2:]), lives[2].suppressed()])
    await world.publish(life.attempted() for life in lives[3:])
    await world.publish([lives[3].rejected(), lives[4].unresolved(), *(life.accepted() for life in lives[5:])])
    await world.publish([lives[5].not_delivered(), lives[6].unconfirmed(), lives[7].delivered(), lives[0].ended()])
    answer = await world.progress_is(
        recipients=9, unprocessed=1, processed=8, waiting=0, dropped=1, suppressed=1, sent=6, delivered=1,
        not_delivered=5, failed=2, unknown=1, unconfirmed=1, awaiting=1, state="completed",
    )  # fmt: skip
    assert answer["failed_by_reason"] == {"invalid_number": 1, "landline": 1}


async def test_progress_says_which_offsets_it_stands_at(world: World) -> None:
    await world.publish([world.life(1).created(), world.life(1).added()])
    await world.progress_is(recipients=1)
    before = (await world.progress())["as_of"]
    await world.publish([world.life(2).added()])
    after = (await world.progress_is(recipients=2))["as_of"]
    assert set(after) >= {"campaigns", "recipients", "processed", "releases", "dispatches", "receipts", "opt-outs"}
    assert sum(after["recipients"].values()) == sum(before["recipients"].values()) + 1


async def test_a_campaign_without_recipients_has_zeros(world: World) -> None:
    await world.publish([world.life(1).created()])
    assert (await world.progress_is(name="spring"))["recipients"] == 0


async def test_events_published_again_change_nothing(world: World) -> None:
    events = [world.life(0).created(), *(event for n in range(20) for event in sent(world, n))]
    await world.publish(events)
    await world.progress_is(awaiting=20)
    async with world.listening() as listener:
        version, _ = await listener.next()
    await world.publish(events)
    await world.caught_up()
    async with world.listening() as listener:
        assert (await listener.next())[0] == version
    await world.progress_is(recipients=20, awaiting=20)


async def test_receipts_before_everything_else_count_once(world: World) -> None:
    lives = [world.life(n) for n in range(10)]
    await world.publish(life.delivered() for life in lives)
    await world.progress_is(recipients=10, processed=10, sent=10, delivered=10)
    rest = [event for n in range(10) for event in sent(world, n)]
    random.Random(3).shuffle(rest)
    await world.publish([*rest, lives[0].created()])
    await world.progress_is(recipients=10, delivered=10, name="spring")
    await world.caught_up()
    row = (await world.report())[0]
    assert row["sent_at"] == "2026-03-01T12:10:00.000000Z" and row["carrier_message_id"] == "SM1"


async def test_an_event_nobody_can_read_stops_its_partition_and_no_other(world: World) -> None:
    lives = [world.life(n) for n in range(40)]
    await world.publish([lives[0].created(), *(life.added() for life in lives)])
    await world.progress_is(recipients=40)
    poisoned = await (
        await world.publish_raw("receipts", key_of(lives[0].delivered()), b"\x00\x00\x00\x00\xffnonsense")
    )
    await world.publish(life.delivered() for life in lives)

    async def stuck() -> object:
        return [place for place in (await world.status())["stuck"] if place["topic"] == "receipts"]

    (place,) = await eventually(stuck, lambda: "nothing is stuck")
    assert (place["partition"], place["event_offset"]) == (poisoned.partition, poisoned.offset)

    async def others_delivered() -> object:
        lag, answer = (await world.status())["lag"], await world.progress()
        return 0 < answer["delivered"] == 40 - (lag - 1)

    await eventually(others_delivered, lambda: "the other partitions do not go on")
    connection = await connect(world.service.database_url, "projections")
    await quarantine.set_aside(connection, ("receipts", poisoned.partition), "a test wrote it", "the test")
    await connection.close()
    await world.progress_is(delivered=40)


async def test_killed_in_the_middle_it_goes_on_where_it_was(world: World, service: Service) -> None:
    await world.publish([world.life(0).created(), *(event for n in range(400) for event in sent(world, n))])
    service.stop(signal.SIGKILL)
    await world.publish(event for n in range(400, 500) for event in sent(world, n))
    service.start()
    await world.caught_up()
    await world.progress_is(recipients=500, awaiting=500)
    connection = await asyncpg.connect(service.database_url, server_settings={"search_path": "projections"})
    assert await connection.fetchval("SELECT sum(length(history) / 27) FROM recipients WHERE campaign_id = $1",
                                     world.campaign_id) == 2500  # fmt: skip
    await connection.close()
