"""The one clock on a real Postgres: it never goes back, and no END is behind what it has said."""

import asyncio
from datetime import UTC, datetime, timedelta

from send_intake import store
from send_intake.store import q

from schemas.events import CampaignEnded
from tests.integration.send_intake.conftest import Intake

AHEAD = datetime.now(UTC) + timedelta(hours=1)


async def tick(intake: Intake) -> datetime:
    async with intake.pool.acquire() as connection, connection.transaction():
        await connection.execute(q.lock_clock)
        at: datetime = await connection.fetchval(q.tick)
        return at


async def test_readings_grow_though_the_host_s_clock_was_ahead(intake: Intake) -> None:
    await intake.pool.execute("UPDATE clock SET at = $1", AHEAD)
    readings = [await tick(intake) for _ in range(5)]
    assert readings == sorted(set(readings))
    assert readings[0] > AHEAD


async def test_presses_and_ends_are_never_behind_the_published_clock(intake: Intake) -> None:
    ada = await intake.user("Ada")
    campaign = await intake.campaign(1, None, ada)
    await intake.pool.execute("UPDATE clock SET at = $1", AHEAD)
    answer = await intake.press(campaign, 0, ada)
    await store.end_campaign(intake.pool, campaign, "a manager")
    [ended] = await intake.events(CampaignEnded)
    assert answer.processed_at > AHEAD  # type: ignore[union-attr]
    assert ended.ended_at > AHEAD  # type: ignore[union-attr]


async def test_an_end_after_a_send_at_or_after_t_is_never_before_t(intake: Intake) -> None:
    ada = await intake.user("Ada")
    scheduled_for = datetime.now(UTC) + timedelta(minutes=30)
    campaign = await intake.campaign(1, scheduled_for, ada)
    await intake.pool.execute("UPDATE clock SET at = $1", AHEAD)
    answer = await intake.press(campaign, 0, ada)
    await intake.pool.execute("UPDATE clock SET at = 'epoch'")  # as if the host's clock had gone back
    await store.end_campaign(intake.pool, campaign, "a manager")
    [ended] = await intake.events(CampaignEnded)
    assert scheduled_for < answer.processed_at < ended.ended_at  # type: ignore[union-attr]


async def test_whatever_ended_by_a_reading_was_committed_before_it(intake: Intake) -> None:
    """The scheduler's whole trust: many ENDs race with the clock, and none turns up behind a reading."""
    campaigns = [await intake.campaign(0) for _ in range(60)]
    readings: list[tuple[datetime, set[datetime]]] = []
    done = asyncio.Event()

    async def read() -> None:
        while not done.is_set():
            at = await tick(intake)
            rows = await intake.pool.fetch("SELECT ended_at FROM campaigns WHERE ended_at <= $1", at)
            readings.append((at, {row["ended_at"] for row in rows}))

    reading = asyncio.create_task(read())
    await asyncio.gather(*(store.end_campaign(intake.pool, campaign, "a manager") for campaign in campaigns))
    done.set()
    await reading
    every = {event.ended_at for event in await intake.events(CampaignEnded)}  # type: ignore[union-attr]
    assert len(every) > 1 and len(readings) > 1
    for at, seen in readings:
        assert {ended_at for ended_at in every if ended_at <= at} == seen
