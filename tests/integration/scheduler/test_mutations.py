"""Each safeguard of the watermark taken out: what it keeps from happening, happens. The rest is in `tests/model`."""

from collections.abc import Iterable
from datetime import timedelta

import pytest
from kernel import offsets
from kernel.database import Connection
from kernel.offsets import Move
from kernel.testing import CAMPAIGN, NOON, clock, created, ended, processed
from scheduler import store

from schemas.events import MessageDropped, MessageReleased
from tests.integration.scheduler.conftest import Instance, Schedulers

SECOND = timedelta(seconds=1)
T = NOON + 600 * SECOND
NOTHING = {0: 0, 1: 0, 2: 0, 3: 0}


async def outcome(schedulers: Schedulers, one: Instance, campaigns_offsets: dict[int, int]) -> list[type]:
    """END was answered before T; the clock has reached T; the scheduler reads the clock first."""
    await one.read(processed(1, scheduled_for=T))
    await one.read(clock(T, campaigns_offsets))
    await one.read(ended(T - SECOND, scheduled_for=T), partition=2)
    await one.read(clock(T + SECOND, campaigns_offsets))
    return [type(event) for event in await schedulers.until_out(1)]


async def test_the_offsets_in_the_clock_keep_it_behind_every_end(schedulers: Schedulers, one: Instance) -> None:
    assert await outcome(schedulers, one, {**NOTHING, 2: 1}) == [MessageDropped]


async def test_without_offsets_in_the_clock_an_ended_campaign_is_texted(schedulers: Schedulers, one: Instance) -> None:
    assert await outcome(schedulers, one, NOTHING) == [MessageReleased]


async def test_without_waiting_for_them_an_ended_campaign_is_texted(
    schedulers: Schedulers, one: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    newest = "(SELECT max(at) AS at FROM clocks) c"
    at_once = f"UPDATE watermark w SET at = c.at FROM {newest} WHERE c.at > w.at RETURNING w.at"
    monkeypatch.setitem(store.q._statements, "advance_watermark", at_once)
    assert await outcome(schedulers, one, {**NOTHING, 2: 1}) == [MessageReleased]


async def test_without_keeping_the_maximum_time_goes_back(
    schedulers: Schedulers, one: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    newest = store.q.advance_watermark.replace("WHERE covered.at > w.at", "WHERE covered.at IS NOT NULL")
    assert newest != store.q.advance_watermark
    monkeypatch.setitem(store.q._statements, "advance_watermark", newest)
    await one.read(clock(T, NOTHING))
    await one.read(clock(T - SECOND, NOTHING))
    assert await schedulers.pool.fetchval("SELECT at FROM watermark") == T - SECOND


async def zombie(schedulers: Schedulers, one: Instance) -> int:
    """One instance freezes with a batch of `campaigns` in its hands; another reads on; it wakes. Where the partition
    stands then."""
    frozen = await schedulers.start()
    position = schedulers.log.put(created(CAMPAIGN, T))
    await frozen.loop.positions([position])
    old = {position: list(schedulers.log.records[position])}
    await one.read(ended(T - SECOND, scheduled_for=T), partition=0)
    await frozen.loop.apply(old)
    stored = await offsets.read(schedulers.pool, [position])
    return stored[position]


async def test_a_zombie_s_batch_changes_nothing(schedulers: Schedulers, one: Instance) -> None:
    assert await zombie(schedulers, one) == 2
    await one.read(processed(1, scheduled_for=T))
    await one.read(clock(T, {**NOTHING, 0: 2}))
    assert [type(event) for event in await schedulers.until_out(1)] == [MessageDropped]
    assert await schedulers.pool.fetchval("SELECT at FROM watermark") == T


async def test_without_the_compare_and_set_a_zombie_takes_the_log_back_and_the_clock_stands(
    schedulers: Schedulers, one: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def overwrite(connection: Connection, moves: Iterable[Move]) -> bool:
        for topic, partition, _, next_offset in moves:
            await connection.execute("UPDATE offsets SET next_offset = $3 WHERE topic = $1 AND partition = $2",
                                     topic, partition, next_offset)  # fmt: skip
        return True

    monkeypatch.setattr(offsets, "advance", overwrite)
    assert await zombie(schedulers, one) == 1
    await one.read(clock(T, {**NOTHING, 0: 2}))
    assert await schedulers.pool.fetchval("SELECT at FROM watermark") < T, "no event follows: it stands for ever"


async def test_without_one_transaction_a_killed_instance_loses_an_end(
    schedulers: Schedulers, one: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The offset is stored, and the process dies before its effect."""

    async def apart(connection: Connection, moves: Iterable[Move]) -> bool:
        for topic, partition, _, next_offset in moves:
            await schedulers.pool.execute("UPDATE offsets SET next_offset = $3 WHERE topic = $1 AND partition = $2",
                                          topic, partition, next_offset)  # fmt: skip
        raise _Killed

    await one.read(processed(1, scheduled_for=T))
    with monkeypatch.context() as taken_out:
        taken_out.setattr(offsets, "advance", apart)
        with pytest.raises(_Killed):
            await one.read(ended(T - SECOND, scheduled_for=T))
    next_one = await schedulers.start()
    await next_one.read_on(("campaigns", 0))
    await next_one.read(clock(T, {**NOTHING, 0: 1}))
    assert [type(event) for event in await schedulers.until_out(1)] == [MessageReleased]


class _Killed(Exception):
    """As if the process had been."""
