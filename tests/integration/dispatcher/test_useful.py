"""Past its latest useful time a message is not sent, and says so; and replies to any sender of a campaign arrive."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from dispatcher.outcome import NotAccepted
from dispatcher.store_attempts import Proof
from dispatcher.store_intents import Terms
from dispatcher.store_late import suppress_late
from kernel.outbox import Outbox, unpack
from kernel.vault import Vault

from schemas.codec import decode
from schemas.events import MessageSuppressed
from schemas.reasons import NotAcceptedReason
from tests.integration.dispatcher import taking, test_tables
from tests.integration.dispatcher.test_tables import NOON, apply, fill
from tests.integration.dispatcher.world import World, eventually
from tests.integration.numbers import a_sender

pool, vault = test_tables.pool, test_tables.vault
HOUR, MICROSECOND = timedelta(hours=1), timedelta(microseconds=1)


async def take(
    pool: asyncpg.Pool, vault: Vault, at: datetime, useful_for: timedelta | None = None
) -> tuple[int, list[MessageSuppressed]]:
    """How many intents there are at that moment, and what is suppressed."""
    outbox = Outbox()
    async with pool.acquire() as connection, connection.transaction():
        taken = await taking.take(connection, vault, 10, Terms(1, at, useful_for=useful_for), outbox)
        await outbox.write(connection)
    rows = await pool.fetch("DELETE FROM outbox RETURNING events")
    events = [decode(value) for row in rows for _, value in unpack(row["events"])]
    suppressed = [event for event in events if isinstance(event, MessageSuppressed)]
    assert taken.suppressed == len(suppressed)
    return len(taken.intents), suppressed


@pytest.mark.parametrize(("after", "goes"), [(-MICROSECOND, True), (0 * MICROSECOND, True), (MICROSECOND, False)])
async def test_the_last_moment_is_still_useful(pool: asyncpg.Pool, vault: Vault, after: timedelta, goes: bool) -> None:
    await fill(pool, 1)
    await pool.execute("UPDATE messages SET useful_until = $1", NOON)
    intents, suppressed = await take(pool, vault, NOON + after)
    assert (intents, len(suppressed)) == ((1, 0) if goes else (0, 1))
    if not goes:
        [event] = suppressed
        assert (event.reason, event.useful_until, event.occurred_at) == ("too_late", NOON, NOON + after)
        assert await pool.fetchval("SELECT suppressed_at FROM messages") == NOON + after
        assert await pool.fetchval("SELECT count(*) FROM queue") == 0


@pytest.mark.parametrize(("useful_for", "late"), [(None, False), (HOUR, True), (3 * HOUR, False)])
async def test_the_setting_says_how_long_after_it_was_due_a_message_is_useful(
    pool: asyncpg.Pool, vault: Vault, useful_for: timedelta | None, late: bool
) -> None:
    await fill(pool, 1)
    await pool.execute("UPDATE messages SET due_at = $1", NOON)
    intents, suppressed = await take(pool, vault, NOON + 2 * HOUR, useful_for)
    assert (intents, len(suppressed)) == ((0, 1) if late else (1, 0))
    assert [event.useful_until for event in suppressed] == ([NOON + HOUR] if late else [])


async def test_a_message_that_waits_to_be_tried_again_is_asked_again(pool: asyncpg.Pool, vault: Vault) -> None:
    await fill(pool, 1)
    await pool.execute("UPDATE messages SET useful_until = $1", NOON + HOUR)
    assert await take(pool, vault, NOON) == (1, [])
    rid = await pool.fetchval("SELECT recipient_id::text FROM attempts")
    throttled = NotAccepted(NotAcceptedReason.THROTTLED)
    assert await apply(pool, Proof(rid, 1, throttled, NOON)) == ["refused"]
    await pool.execute("DELETE FROM outbox")
    _, [event] = await take(pool, vault, NOON + 2 * HOUR)
    assert event.reason == "too_late" and event.recipient_id == rid


async def test_what_waits_is_told_so_without_its_turn_each_once_and_nobody_else_is(
    pool: asyncpg.Pool, vault: Vault
) -> None:
    """The carrier may be away for hours: nothing has its turn."""
    await fill(pool, 60)
    ids = [row[0] for row in await pool.fetch("SELECT recipient_id::text FROM messages ORDER BY recipient_id")]
    await pool.execute("UPDATE messages SET useful_until = $1 WHERE recipient_id = ANY($2::uuid[])", NOON, ids[:30])
    await pool.execute("DELETE FROM queue WHERE recipient_id = $1", ids[0])  # with the carrier
    out = await pool.fetchval("SELECT person_id FROM messages WHERE recipient_id = $1", ids[1])
    await pool.execute(
        "INSERT INTO opt_outs VALUES ($1, $1, '', true, 'reply', '', $2, 'u', 1, gen_random_uuid())", out, NOON
    )
    assert await suppress_late(pool, NOON, most=7) == (0, False), "it is useful still"
    told, more = 0, True
    while more:
        count, more = await suppress_late(pool, NOON + MICROSECOND, most=7)
        told += count
    assert told == 28 and await suppress_late(pool, NOON + HOUR) == (0, False)
    rows = await pool.fetch("SELECT events FROM outbox")
    events = [decode(value) for row in rows for _, value in unpack(row["events"])]
    assert {e.recipient_id for e in events if isinstance(e, MessageSuppressed)} == set(ids[2:30])
    assert len({event.event_id for event in events if isinstance(event, MessageSuppressed)}) == 28
    assert await pool.fetchval("SELECT count(*) FROM queue") == 31  # the others, and who had opted out
    assert await pool.fetchval("SELECT count(*) FROM messages WHERE suppressed_at = $1", NOON + MICROSECOND) == 28


async def test_while_the_carrier_is_away_those_who_wait_are_told(sending: World) -> None:
    until = datetime.now(UTC) + timedelta(seconds=2)
    numbers = [sending.number() for _ in range(120)]
    await sending.faults(throttle_per_s=0)
    await sending.publish(*(sending.released(number, useful_until=until) for number in numbers))
    await sending.told(*numbers, until="MessageSuppressed")
    assert not any(line["accepted"] for line in await sending.ledger(*numbers))


async def test_behind_a_carrier_that_throttles_nobody_is_asked_for_past_the_time(sending: World) -> None:
    await sending.faults(throttle_per_s=4)
    until = datetime.now(UTC) + timedelta(seconds=2)
    numbers = [sending.number() for _ in range(40)]
    await sending.publish(*(sending.released(number, useful_until=until) for number in numbers))
    done = {"MessageDelivered", "MessageSuppressed"}

    async def all_done() -> bool:
        return all(done & set(names) for names in await sending.told(*numbers))

    await eventually(all_done, lambda: "each is delivered or too late")
    lines = await sending.ledger(*numbers)
    assert max(datetime.fromisoformat(line["received_at"]) for line in lines) <= until + timedelta(milliseconds=100)
    fates = Counter(next(iter(done & set(names))) for names in await sending.told(*numbers))
    assert fates["MessageDelivered"] == sum(line["accepted"] for line in lines)
    assert fates["MessageDelivered"] >= 1 and fates["MessageSuppressed"] >= 10
    suppressed = [e for e in await sending.log("dispatches") if isinstance(e, MessageSuppressed)]
    assert {(event.reason, event.useful_until) for event in suppressed} == {("too_late", until)}


async def test_a_stop_to_any_sender_of_a_campaign_is_the_accounts(world: World) -> None:
    also = [a_sender() for _ in range(3)]
    early, later = world.number(), world.number()
    assert await world.replies(early, "STOP", to=also[1]) == 200  # nobody knows yet whose the number is
    await world.publish(world.created(*also))

    async def known() -> bool:
        rows = await world.database.fetch("SELECT number FROM senders WHERE account_id = $1", world.account_id)
        return {row["number"] for row in rows} == {world.sender, *also}

    await eventually(known, lambda: "all senders are known")
    assert await world.replies(later, "STOP", to=also[2]) == 200
    for number in (early, later):
        _, found = await world.opt_outs(number)
        assert [one["source"] for one in found["opt_outs"]] == ["reply"]
    await world.publish(world.released(early), world.released(later))
    assert await world.told(early, later, until="MessageSuppressed") == [["MessageSuppressed"]] * 2
