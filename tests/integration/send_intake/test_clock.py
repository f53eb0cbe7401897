"""The one clock on a real Postgres: it never goes back, whatever host or restore do, and no END is behind it."""

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from kernel.database import acting_for
from send_intake import store, store_clock, store_sending
from send_intake.admission import Processed

from schemas.events import CampaignEnded
from tests.integration.send_intake.conftest import Intake, tick
from tests.integration.send_intake.host import Host

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
US, HOUR = timedelta(microseconds=1), timedelta(hours=1)


@pytest.fixture
async def host(intake: Intake) -> Host:
    """Noon, and the clock has said so."""
    await intake.pool.execute("UPDATE clock SET at = 'epoch'")  # the real time was read once
    host = await Host.of(intake.pool, NOON)
    assert await tick(intake.pool) == NOON
    return host


async def test_readings_grow_though_the_host_s_clock_stands_or_goes_back(intake: Intake, host: Host) -> None:
    assert await tick(intake.pool) == NOON + US
    await host.set(NOON - HOUR)
    assert [await tick(intake.pool) for _ in range(3)] == [NOON + n * US for n in (2, 3, 4)]
    await host.set(NOON + HOUR)
    assert await tick(intake.pool) == NOON + HOUR


async def test_presses_and_ends_are_never_behind_the_published_clock(intake: Intake, host: Host) -> None:
    ada = await intake.user("Ada")
    campaign = await intake.campaign(1, None, ada)
    await host.set(NOON - HOUR)
    answer = await intake.press(campaign, 0, ada)
    assert isinstance(answer, Processed) and answer.processed_at == NOON + US
    assert await intake.end(campaign) == NOON + US


async def test_a_reading_is_above_what_was_published_also_when_postgres_has_forgotten_it(
    intake: Intake, host: Host
) -> None:
    assert await tick(intake.pool, NOON + HOUR) == NOON + HOUR + US


async def test_status_tells_how_far_the_clock_is_ahead_of_the_host(intake: Intake, host: Host) -> None:
    assert await store_clock.state(intake.pool) == {"clock_ahead_s": 0, "clock_confirmed": True}
    await host.set(NOON - HOUR)
    assert await store_clock.state(intake.pool) == {"clock_ahead_s": 3600, "clock_confirmed": True}


async def test_whatever_ended_by_a_reading_was_committed_before_it(intake: Intake) -> None:
    """The scheduler's whole trust: many ENDs race with the clock, and none turns up behind a reading."""
    campaigns = [await intake.campaign(0) for _ in range(60)]
    readings: list[tuple[datetime, set[datetime]]] = []
    done = asyncio.Event()

    async def read() -> None:
        while not done.is_set():
            at = await tick(intake.pool)
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


# --- after a restore -------------------------------------------------------------------------------------

RESTORED = {  # what a row that was confirmed elsewhere, or at another time, differs in
    "rows loaded from a dump": "UPDATE clock SET at = at",
    "another server": "UPDATE clock SET incarnation = regexp_replace(incarnation, '^[0-9]+', '1')",
    "another timeline": "UPDATE clock SET incarnation = regexp_replace(incarnation, '/0000000.', '/0000000A')",
    "another database": "UPDATE clock SET incarnation = regexp_replace(incarnation, '/[0-9]+/', '/1/')",
    "a new installation": "UPDATE clock SET incarnation = NULL, started = NULL",
}


async def _as_restored(intake: Intake, statement: str) -> None:
    """The row as it would be, its xmin right where a restore would bring the old one along."""
    async with intake.pool.acquire() as connection, connection.transaction():
        await connection.execute(statement)
        if "SET at" not in statement:
            await connection.execute(
                "UPDATE clock SET incarnation = regexp_replace(incarnation, '[0-9]+$', pg_current_xact_id()::text)"
            )


@pytest.mark.parametrize("statement", RESTORED.values(), ids=list(RESTORED))
async def test_after_a_restore_no_end_is_taken_before_the_clock_is_confirmed(
    intake: Intake, statement: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await intake.user("Ada")
    campaign, before = await intake.campaign(2, None, ada), await intake.campaign(0)
    first = await intake.end(before)
    await _as_restored(intake, statement)
    monkeypatch.setattr(store, "CONFIRMED_WITHIN_S", 0.1)
    with pytest.raises(store.ClockUnconfirmed):
        await intake.end(campaign)
    assert await store_sending.is_sending(intake.pool, campaign.account_id, campaign.campaign_id, ada.user_id)
    assert (await store_clock.state(intake.pool))["clock_confirmed"] is False
    assert isinstance(await intake.press(campaign, 0, ada), Processed), "SEND waits for nothing"
    assert await intake.end(before) == first, "a repeat needs no time"
    await tick(intake.pool)
    await intake.end(campaign)


async def test_an_end_that_waits_goes_on_once_the_clock_is_confirmed(intake: Intake) -> None:
    campaign = await intake.campaign(0)
    await intake.pool.execute("UPDATE clock SET at = at")
    ending = asyncio.create_task(intake.end(campaign))
    published = datetime.now(UTC) + HOUR
    at = await tick(intake.pool, published)
    assert await ending > at > published


async def test_a_server_that_only_started_again_is_waited_for_but_not_insisted_on(
    intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also what a volume put back to an older snapshot looks like: while the leader lives, it confirms first."""
    campaign, other = await intake.campaign(0), await intake.campaign(0)
    await _as_restored(intake, "UPDATE clock SET started = started - interval '1 hour'")
    ending = asyncio.create_task(intake.end(other))
    published = datetime.now(UTC) + HOUR
    at = await tick(intake.pool, published)
    assert await ending > at > published
    await _as_restored(intake, "UPDATE clock SET started = started - interval '1 hour'")
    monkeypatch.setattr(store, "CONFIRMED_WITHIN_S", 0.1)
    assert await intake.end(campaign) > published


async def test_the_role_that_acts_for_people_may_ask_and_may_not_set_the_clock(intake: Intake) -> None:
    campaign = await intake.campaign(0)
    async with acting_for(intake.pool, campaign.account_id) as connection:
        assert await connection.fetchval(store.q.confirmed) is True
        for statement in ("UPDATE clock SET at = 'epoch'", "SELECT tick('epoch')"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
