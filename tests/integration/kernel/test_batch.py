"""The batch loop on a real Postgres: every event has its effect once, or its partition stands still and says so."""

import asyncio

import asyncpg
import pytest
from kernel import offsets, quarantine
from kernel.batch import STOPPED, BatchLoop
from kernel.database import Connection, Pool
from kernel.errors import InvariantBroken
from kernel.offsets import Move
from kernel.outbox import Outbox
from kernel.received import Received
from kernel.testing import Record, records

from tests.integration.kernel.ledger import FIRST, SECOND, TOPIC, a_loop, in_outbox, keep, kept, presses, refusing

BAD = b"\x00\x00\x00\x00\x63 these bytes are no event"


def with_bad(*bad: int, count: int = 5, start: int = 0) -> list[Record]:
    """Consecutive records, those at the offsets `bad` undecodable."""
    return [Record(r.offset, BAD) if r.offset in bad else r for r in records(*presses(count, start), start=start)]


async def next_offset(pool: Pool, partition: int = 0) -> int:
    return (await offsets.read(pool, [(TOPIC, partition)]))[TOPIC, partition]


async def test_a_batch_applied_twice_changes_nothing(pool: Pool) -> None:
    loop = await a_loop(pool)
    batch = {FIRST: records(*presses(5))}
    await loop.apply(batch)
    assert not (await loop.apply(batch)).seek
    assert await kept(pool) == [0, 1, 2, 3, 4]
    assert await in_outbox(pool) == 5
    assert await next_offset(pool) == 5


async def test_of_a_batch_that_overlaps_only_the_new_is_applied(pool: Pool) -> None:
    loop = await a_loop(pool)
    await loop.apply({FIRST: records(*presses(3))})
    await loop.apply({FIRST: records(*presses(4, start=1), start=1)})
    assert await kept(pool) == [0, 1, 2, 3, 4]


async def test_records_that_stand_in_a_batch_twice_are_applied_once(pool: Pool) -> None:
    """A consumer went back while what it had read was waiting."""
    loop = await a_loop(pool)
    await loop.apply({FIRST: records(*presses(4)) + records(*presses(5, start=2), start=2)})
    assert await kept(pool) == [0, 1, 2, 3, 4, 5, 6]
    assert await in_outbox(pool) == 7
    assert not (await loop.apply({FIRST: records(*presses(1, start=7), start=7)})).seek


async def test_a_batch_with_a_gap_is_applied_up_to_it_and_the_partition_goes_back(pool: Pool) -> None:
    loop = await a_loop(pool)
    applied = await loop.apply({FIRST: records(*presses(3)) + records(*presses(2, start=7), start=7)})
    assert applied.seek == {FIRST: 3}
    assert await kept(pool) == [0, 1, 2]
    applied = await loop.apply({FIRST: records(*presses(1, start=7), start=7) + records(*presses(2, start=3), start=3)})
    assert not applied.seek, "the consumer stands where it should"
    assert await kept(pool) == [0, 1, 2, 3, 4]


async def test_records_behind_a_gap_are_left_and_the_partition_goes_back(pool: Pool) -> None:
    loop = await a_loop(pool)
    applied = await loop.apply({FIRST: records(*presses(2), start=7), SECOND: records(*presses(2))})
    assert applied.seek == {FIRST: 0}
    assert await kept(pool) == []
    assert await kept(pool, 1) == [0, 1], "the other partition is not held up"


async def test_a_process_whose_partition_was_taken_discards_its_batch_and_is_told_where_it_stands(pool: Pool) -> None:
    zombie, heir = await a_loop(pool), await a_loop(pool)
    await heir.apply({FIRST: records(*presses(3))})
    applied = await zombie.apply({FIRST: records(*presses(5)), SECOND: records(*presses(2))})
    assert applied.seek == {FIRST: 3, SECOND: 0}, "one transaction: what moved with it is discarded too"
    assert await kept(pool) == [0, 1, 2]
    assert await kept(pool, 1) == []
    assert await in_outbox(pool) == 3
    await zombie.apply({FIRST: records(*presses(2, start=3), start=3)})
    assert await kept(pool) == [0, 1, 2, 3, 4], "from there on it is as good as any"


async def test_what_a_crash_of_postgres_took_back_is_read_again_also_where_nothing_new_comes(pool: Pool) -> None:
    away = asyncio.Event()

    async def handler(connection: Connection, batch: list[Received], outbox: Outbox) -> None:
        if away.is_set():
            away.clear()
            await offsets_back(pool, SECOND, 1)
            raise ConnectionResetError
        await keep(connection, batch, outbox)

    loop = await a_loop(pool, handler)
    await loop.apply({FIRST: records(*presses(3)), SECOND: records(*presses(3))})
    assert await loop.moved() == {}
    away.set()
    await loop.apply({FIRST: records(*presses(2, start=3), start=3)})
    assert await loop.moved() == {SECOND: 1}
    assert await loop.moved() == {}


async def offsets_back(pool: Pool, position: tuple[str, int], to: int) -> None:
    await pool.execute("UPDATE offsets SET next_offset = $3 WHERE topic = $1 AND partition = $2", *position, to)


async def test_an_undecodable_first_event_is_met_again_when_another_partition_was_taken(pool: Pool) -> None:
    zombie, heir = await a_loop(pool), await a_loop(pool)
    await heir.apply({FIRST: records(*presses(3))})
    applied = await zombie.apply({FIRST: records(*presses(5)), SECOND: with_bad(0)})
    assert applied.seek == {FIRST: 3, SECOND: 0}


async def test_an_undecodable_event_stops_its_partition_alone_and_is_on_record(pool: Pool) -> None:
    loop = await a_loop(pool)
    await loop.apply({FIRST: with_bad(2), SECOND: records(*presses(3))})
    assert await kept(pool) == [0, 1], "what lies before it is applied"
    assert await kept(pool, 1) == [0, 1, 2]
    [stopped] = await quarantine.listed(pool)
    assert (stopped["topic"], stopped["partition"], stopped["event_offset"]) == (TOPIC, 0, 2)
    assert "0000000063" in stopped["error"]
    assert STOPPED.labels(TOPIC, "0")._value.get() == 1
    await loop.apply({FIRST: records(*presses(2, start=3), start=3), SECOND: records(*presses(1, start=3), start=3)})
    assert await kept(pool) == [0, 1], "nothing passes it"
    assert await kept(pool, 1) == [0, 1, 2, 3]
    assert await loop.resumed() == {}, "it stands until an operator decides"


async def test_the_first_event_of_a_partition_can_be_the_undecodable_one(pool: Pool) -> None:
    loop = await a_loop(pool)
    await loop.apply({FIRST: with_bad(0)})
    assert [row["event_offset"] for row in await quarantine.listed(pool)] == [0]
    assert await next_offset(pool) == 0


async def test_a_retried_event_that_is_still_wrong_stops_its_partition_again(pool: Pool) -> None:
    loop = await a_loop(pool)
    await loop.apply({FIRST: with_bad(2)})
    async with pool.acquire() as connection:
        assert await quarantine.retry(connection, FIRST)
        assert not await quarantine.retry(connection, FIRST), "it does not stand still now"
    assert await loop.resumed() == {FIRST: 2}
    await loop.apply({FIRST: with_bad(2, count=3, start=2)})
    assert [row["event_offset"] for row in await quarantine.listed(pool)] == [2]
    assert await kept(pool) == [0, 1]


async def test_setting_aside_passes_exactly_that_event(pool: Pool) -> None:
    loop = await a_loop(pool)
    await loop.apply({FIRST: with_bad(1, 3)})
    async with pool.acquire() as connection:
        assert await quarantine.set_aside(connection, FIRST, "the producer wrote rubbish", "ops") == 1
        assert await quarantine.set_aside(connection, FIRST, "once more", "ops") is None
    assert await loop.resumed() == {FIRST: 1}
    await loop.apply({FIRST: with_bad(1, 3, count=4, start=1)})
    assert await kept(pool) == [0, 2]
    assert [row["event_offset"] for row in await quarantine.listed(pool)] == [3], "the next bad one is a decision anew"
    aside = await pool.fetchrow("SELECT event_offset, reason, decided_by FROM set_aside")
    assert tuple(aside) == (1, "the producer wrote rubbish", "ops")


async def test_an_event_that_cannot_be_true_stops_its_partition_like_one_that_cannot_be_read(pool: Pool) -> None:
    loop = await a_loop(pool, refusing(lambda received: received[2:] == (0, 3)))
    await loop.apply({FIRST: records(*presses(5)), SECOND: records(*presses(5))})
    assert await kept(pool) == [0, 1, 2]
    assert await kept(pool, 1) == [0, 1, 2, 3, 4]
    assert await in_outbox(pool) == 8, "what the refused transaction had collected is gone with it"
    [stopped] = await quarantine.listed(pool)
    assert (stopped["event_offset"], stopped["error"]) == (3, "this cannot be true")


async def test_of_many_that_cannot_be_true_each_partition_stops_at_its_first(pool: Pool) -> None:
    loop = await a_loop(pool, refusing(lambda received: received.offset >= 2))
    await loop.apply({FIRST: records(*presses(5)), SECOND: records(*presses(5))})
    assert await kept(pool) == await kept(pool, 1) == [0, 1]
    assert [row["event_offset"] for row in await quarantine.listed(pool)] == [2, 2]


async def test_a_batch_that_is_refused_by_a_process_that_lost_its_partition_raises_no_alarm(pool: Pool) -> None:
    zombie = await a_loop(pool, refusing(lambda received: received.offset == 1))
    heir = await a_loop(pool)
    await heir.apply({FIRST: records(*presses(3))})
    assert (await zombie.apply({FIRST: records(*presses(3))})).seek == {FIRST: 3}
    assert await quarantine.listed(pool) == []


async def test_an_event_that_others_went_past_is_no_alarm_of_a_process_that_cannot_read_it(pool: Pool) -> None:
    zombie, heir = await a_loop(pool), await a_loop(pool)
    await heir.apply({FIRST: records(*presses(3))})
    await zombie.apply({FIRST: with_bad(0, count=3)})
    assert await quarantine.listed(pool) == []
    assert await zombie.resumed() == {FIRST: 3}


async def test_the_connection_is_lost_while_a_refused_event_is_put_on_record(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, lost = quarantine.record, [ConnectionResetError()]

    async def record_at_last(*about: object) -> None:
        if lost:
            raise lost.pop()
        await record(*about)  # type: ignore[arg-type]

    monkeypatch.setattr(quarantine, "record", record_at_last)
    loop = await a_loop(pool, refusing(lambda received: received.offset == 3))
    await loop.apply({FIRST: records(*presses(5))})
    assert await kept(pool) == [0, 1, 2]
    assert [row["event_offset"] for row in await quarantine.listed(pool)] == [3]


async def test_a_release_that_can_read_the_event_takes_it_off_the_record(pool: Pool) -> None:
    old = await a_loop(pool, refusing(lambda received: received.offset == 3))
    await old.apply({FIRST: records(*presses(5))})
    new = await a_loop(pool)
    await new.apply({FIRST: records(*presses(2, start=3), start=3)})
    assert await kept(pool) == [0, 1, 2, 3, 4]
    assert await quarantine.listed(pool) == []


async def test_an_error_of_the_handler_leaves_neither_offsets_nor_state_nor_outbox(pool: Pool) -> None:
    async def broken(connection: Connection, batch: list[Received], outbox: Outbox) -> None:
        await keep(connection, batch, outbox)
        raise ZeroDivisionError

    loop = await a_loop(pool, broken)
    with pytest.raises(ZeroDivisionError):
        await loop.apply({FIRST: records(*presses(5))})
    assert (await kept(pool), await in_outbox(pool), await next_offset(pool)) == ([], 0, 0)


async def test_a_connection_lost_in_the_middle_is_tried_again_with_one_effect(pool: Pool, database_url: str) -> None:
    ended: list[int] = []
    operator = await asyncpg.connect(database_url)

    async def cut_off(connection: Connection, batch: list[Received], outbox: Outbox) -> None:
        await keep(connection, batch, outbox)
        if len(ended) < 2:
            ended.append(await connection.fetchval("SELECT pg_backend_pid()"))
            await operator.execute("SELECT pg_terminate_backend($1)", ended[-1])

    loop = await a_loop(pool, cut_off)
    await loop.apply({FIRST: records(*presses(5))})
    await operator.close()
    assert len(ended) == 2
    assert (await kept(pool), await in_outbox(pool), await next_offset(pool)) == ([0, 1, 2, 3, 4], 5, 5)


async def test_a_commit_whose_answer_was_lost_is_not_done_twice(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    advance, lost = offsets.advance, [True]

    async def committed_unheard(connection: Connection, moves: list[Move]) -> bool:
        if lost.pop() if lost else False:
            async with pool.acquire() as other, other.transaction():  # the same transaction, wholly done elsewhere
                await advance(other, moves)
                await keep(other, [Received(event, *FIRST, o) for o, event in enumerate(presses(5))], Outbox())
            raise ConnectionResetError
        return await advance(connection, moves)

    monkeypatch.setattr(offsets, "advance", committed_unheard)
    loop = await a_loop(pool)
    assert (await loop.apply({FIRST: records(*presses(5))})).seek == {}
    assert await kept(pool) == [0, 1, 2, 3, 4]


async def test_presses_of_many_processes_at_once_are_applied_once(pool: Pool) -> None:
    loops = [await a_loop(pool) for _ in range(6)]

    async def read_on(loop: BatchLoop) -> None:
        while (at := await next_offset(pool)) < 200:
            await loop.apply({FIRST: records(*presses(20, start=at), start=at)})

    await asyncio.gather(*map(read_on, loops))
    assert await kept(pool) == list(range(200))


async def test_an_invariant_broken_by_no_event_of_the_batch_crashes(pool: Pool) -> None:
    async def confused(connection: Connection, batch: list[Received], outbox: Outbox) -> None:
        raise InvariantBroken(batch[0]._replace(offset=99), "of another batch")

    loop = await a_loop(pool, confused)
    with pytest.raises(InvariantBroken):
        await loop.apply({FIRST: records(*presses(5))})
