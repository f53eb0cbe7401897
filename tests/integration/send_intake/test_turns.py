"""Whose turn it is: an END is not starved by presses, and holds up nobody but the presses of its own campaign."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import asyncpg
import pytest
from kernel import database
from send_intake import store, store_presses
from send_intake.admission import Processed, Refused
from send_intake.store_presses import Presses

from schemas.events import CampaignEnded, RecipientProcessed
from tests.integration.send_intake.conftest import Intake, tick
from tests.integration.send_intake.races import ADVISORY, LOCK_CAMPAIGN, ROW, TABLE, held, waiting

POOL = 16  # the fixture's


@asynccontextmanager
async def another_process(intake: Intake) -> AsyncIterator[Intake]:
    """Its presses have connections of their own, as a process gives them."""
    pool = await store_presses.open_pool(intake.database_url, "send_intake")
    presses = Presses(pool, intake.vault, asyncio.Event())
    running = asyncio.create_task(presses.run())
    try:
        yield Intake(intake.pool, intake.vault, presses, intake.database_url)
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        await pool.close()


async def test_an_end_comes_after_the_presses_before_it_and_before_the_presses_after_it(intake: Intake) -> None:
    """Also when the locks would get along: a press may not slip in beside another one while an END waits."""
    ada = await intake.user("Ada")
    campaign = await intake.campaign(12, None, ada)
    async with another_process(intake) as other:
        async with held(intake.database_url, "SELECT FROM recipients FOR UPDATE"):
            before = [asyncio.create_task(one.press(campaign, n, ada)) for n, one in enumerate((intake, other))]
            await waiting(intake.pool, ROW, 2)
            ending = asyncio.create_task(intake.end(campaign))
            await waiting(intake.pool, ADVISORY)
            after = [asyncio.create_task(one.press(campaign, n, ada)) for n in range(2, 12) for one in (intake, other)]
            await waiting(intake.pool, ADVISORY, 3)  # one of each process stands for all of it
        assert all(isinstance(answer, Processed) for answer in await asyncio.gather(*before))
        assert set(await asyncio.gather(*after)) == {Refused.CAMPAIGN_ENDED}
    await ending


async def test_an_end_gets_its_turn_in_a_stream_that_does_not_stop_for_it(intake: Intake) -> None:
    """Four processes press as fast as they are answered, until the END is in: it waits for what is under way alone."""
    ada, hands = await intake.user("Ada"), 20
    campaign = await intake.campaign(4000, None, ada)
    todo, answers, since = iter(range(4000)), list[object](), 0

    async def press_on(one: Intake) -> None:
        for n in todo:
            answers.append(answer := await one.press(campaign, n, ada))
            if answer is Refused.CAMPAIGN_ENDED:
                return

    async with another_process(intake) as second, another_process(intake) as third, another_process(intake) as fourth:
        processes = [intake, second, third, fourth]
        pressing = [asyncio.create_task(press_on(processes[n % 4])) for n in range(hands)]
        while len(answers) < 200:
            await asyncio.sleep(0)
        since = len(answers)
        await intake.end(campaign)
        await asyncio.gather(*pressing)
    sent = len(await intake.events(RecipientProcessed))
    assert answers.count(Refused.CAMPAIGN_ENDED) == hands, "the stream outlived the END"
    # What was under way when the END was asked for, and what came while it asked for its lock: a few rounds of hands.
    assert sent - since < 10 * hands


async def test_presses_of_other_campaigns_do_not_wait_for_an_end_that_is_slow(intake: Intake) -> None:
    ada, bob = await intake.user("Ada"), await intake.user("Bob")
    ending, other = await intake.campaign(50, None, ada), await intake.campaign(50, None, bob)
    async with held(intake.database_url, LOCK_CAMPAIGN, ending.campaign_id):
        behind = [asyncio.create_task(intake.press(ending, n, ada)) for n in range(50)]
        await waiting(intake.pool, ADVISORY)
        answers = await asyncio.gather(*(intake.press(other, n, bob) for n in range(50)))
        assert all(isinstance(answer, Processed) for answer in answers)
        assert not any(task.done() for task in behind)
    assert all(isinstance(answer, Processed) for answer in await asyncio.gather(*behind)), "it was rolled back"


async def test_presses_do_not_wait_for_ends_that_fill_the_pool(intake: Intake) -> None:
    """More ENDs than the pool has connections stand before the clock; a process's presses have their own."""
    ada = await intake.user("Ada")
    campaign = await intake.campaign(1, None, ada)
    others = [await intake.campaign(0) for _ in range(POOL + 4)]
    operator = await database.open_pool(intake.database_url, "send_intake", max_size=1)
    async with another_process(intake) as process:
        async with held(intake.database_url, "SELECT tick('epoch')"):
            ending = [asyncio.create_task(intake.end(other)) for other in others]
            await waiting(operator, ADVISORY, POOL)
            assert isinstance(await process.press(campaign, 0, ada), Processed)
            assert not any(task.done() for task in ending)
        await asyncio.gather(*ending)
    await operator.close()


async def test_presses_whose_place_behind_an_end_is_lost_are_told_so_and_may_be_repeated(intake: Intake) -> None:
    ada = await intake.user("Ada")
    campaign = await intake.campaign(1, None, ada)
    operator = await asyncpg.connect(intake.database_url)
    async with held(intake.database_url, LOCK_CAMPAIGN, campaign.campaign_id):
        pressing = asyncio.create_task(intake.press(campaign, 0, ada))
        await waiting(intake.pool, ADVISORY)
        await operator.execute(
            """SELECT pg_terminate_backend(pid) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
                WHERE a.datname = current_database() AND NOT l.granted"""
        )
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
            await pressing
    await operator.close()
    assert isinstance(await intake.press(campaign, 0, ada), Processed)


async def test_batches_that_mix_campaigns_and_ends_that_come_in_between_never_stand_in_a_ring(intake: Intake) -> None:
    users = [await intake.user(f"user {n}") for n in range(6)]
    campaigns = [await intake.campaign(60, None, user) for user in users]
    async with another_process(intake) as second, another_process(intake) as third:
        presses = [
            one.press(campaign, n, user)
            for n in range(60)
            for campaign, user in zip(campaigns, users, strict=True)
            for one in (intake, second, third)
        ]
        answering = [asyncio.create_task(press) for press in presses]
        ends = [asyncio.create_task(intake.end(campaign)) for campaign in reversed(campaigns)]
        answers = await asyncio.gather(*answering)
        await asyncio.gather(*ends)
    assert len(await intake.events(CampaignEnded)) == 6
    counted = {answer.recipient_id for answer in answers if isinstance(answer, Processed)}
    assert len(await intake.events(RecipientProcessed)) == len(counted)
    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    assert await intake.pool.fetchval(deadlocks) == 0


async def test_an_end_that_freezes_after_it_has_read_its_time_is_ended_and_the_clock_goes_on(intake: Intake) -> None:
    campaign = await intake.campaign(0)
    connection = await database.connect(intake.database_url, "send_intake")
    frozen = connection.get_server_pid()
    await connection.execute("BEGIN")
    await connection.execute(store.q.lock_campaign, campaign.campaign_id)
    await connection.execute(store.q.lock_clock_shared)
    assert await connection.fetchval(store.q.end_campaign, campaign.campaign_id, "a manager", True)  # and says no more
    skipped = 0
    while True:
        try:
            await tick(intake.pool)
            break
        except asyncpg.LockNotAvailableError:
            skipped += 1  # a tick waits a second at most; the END is ended after two
    assert 1 <= skipped <= 3
    assert await intake.pool.fetchval("SELECT count(*) FROM pg_stat_activity WHERE pid = $1", frozen) == 0
    assert await intake.pool.fetchval(store.q.ended_at, campaign.campaign_id) is None
    connection.terminate()


@pytest.mark.parametrize("lock", ["lock_campaign_shared", "try_campaigns_shared"])
async def test_a_process_that_freezes_in_an_import_or_a_batch_is_ended_and_the_end_goes_on(
    intake: Intake, lock: str
) -> None:
    campaign = await intake.campaign(0)
    pool = await store_presses.open_pool(intake.database_url, "send_intake")
    frozen = await (pool if lock == "try_campaigns_shared" else intake.pool).acquire()
    pid = frozen.get_server_pid()
    await frozen.execute("BEGIN")
    locked: object = campaign.campaign_id if lock == "lock_campaign_shared" else [campaign.campaign_id]
    assert await frozen.fetch(getattr(store.q, lock), locked)
    await intake.end(campaign)
    assert await intake.pool.fetchval("SELECT count(*) FROM pg_stat_activity WHERE pid = $1", pid) == 0
    pool.terminate()


async def test_a_tick_leaves_no_lock_behind_for_a_leader_that_freezes_after_it(intake: Intake) -> None:
    """It is one statement: there is no moment at which its caller could freeze and hold the clock."""
    async with intake.pool.acquire() as leader:
        await leader.fetchval(store.q.tick, await leader.fetchval(store.q.now))
        async with held(intake.database_url, "SET LOCAL lock_timeout = '100ms'") as other:
            await other.execute("SELECT tick('epoch')")


async def test_an_end_holds_the_clock_only_once_it_has_freed_its_senders(intake: Intake) -> None:
    """However many rows they were shown: what is slow comes before the lock that everybody's ENDs share."""
    ada = await intake.user("Ada")
    campaign = await intake.campaign(1, None, ada)
    async with held(intake.database_url, "LOCK TABLE claims IN SHARE MODE"):
        ending = asyncio.create_task(intake.end(campaign))
        await waiting(intake.pool, TABLE)
        await tick(intake.pool)
        assert not ending.done()
    await ending
