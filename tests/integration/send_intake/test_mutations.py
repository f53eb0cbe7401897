"""Every safeguard of T, END and the clock, taken out: the same race, run without it, is lost.

A scenario brings one interleaving about, without luck, and answers whether what must hold still held.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from kernel.database import Pool
from kernel.outbox import unpack
from send_intake import store
from send_intake.admission import Processed

from schemas.codec import decode
from schemas.events import CampaignEnded, RecipientProcessed
from tests.integration.send_intake.conftest import Intake, tick
from tests.integration.send_intake.host import Host
from tests.integration.send_intake.races import ADVISORY, LOCK_CAMPAIGN, ROW, TABLE, held, waiting, waiting_or_done

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
T = NOON + HOUR / 2

Scenario = Callable[[Intake, Host], Awaitable[bool]]
Changes = Mapping[
    str, tuple[str, str]
]  # statement, or function: what is taken out of it, and what stands there instead


# --- scenarios ---------------------------------------------------------------------------------------------


async def the_clock_is_read_while_an_end_is_open(intake: Intake, host: Host) -> bool:
    """What must hold: whatever ended by a reading was committed before it."""
    campaign = await intake.campaign(0)

    async def read() -> tuple[datetime, set[datetime]]:
        at = await tick(intake.pool)
        rows = await intake.pool.fetch("SELECT ended_at FROM campaigns WHERE ended_at <= $1", at)
        return at, {row["ended_at"] for row in rows}

    async with held(intake.database_url, "LOCK TABLE outbox IN SHARE MODE"):
        ending = asyncio.create_task(intake.end(campaign))
        await waiting(intake.pool, TABLE)  # it has read its time and cannot write its event
        reading = asyncio.create_task(read())
        await waiting_or_done(intake.pool, ADVISORY, reading)
    ended_at, (at, seen) = await ending, await reading
    return ended_at > at or ended_at in seen


async def an_end_waits_for_the_clock_while_the_host_goes_back(intake: Intake, host: Host) -> bool:
    """What must hold: an END after a reading is above it."""
    campaign = await intake.campaign(0)
    await host.set(NOON + HOUR)
    async with held(intake.database_url, "SELECT tick('epoch')"):
        ending = asyncio.create_task(intake.end(campaign))
        await waiting(intake.pool, ADVISORY)
        await host.set(NOON)
    return await ending > NOON + HOUR


async def the_host_goes_back_between_a_reading_and_an_end(intake: Intake, host: Host) -> bool:
    """What must hold: the same."""
    campaign = await intake.campaign(0)
    await host.set(NOON - HOUR)
    return await intake.end(campaign) > NOON


async def the_host_goes_back_between_readings(intake: Intake, host: Host) -> bool:
    """What must hold: the clock never goes back."""
    await host.set(NOON - HOUR)
    return await tick(intake.pool) > NOON


async def postgres_forgets_what_was_published(intake: Intake, host: Host) -> bool:
    """What must hold: a reading is above all that was published."""
    return await tick(intake.pool, NOON + HOUR) > NOON + HOUR


async def an_end_comes_right_after_a_restore(intake: Intake, host: Host) -> bool:
    """What must hold: an END is above all that was published, or there is none."""
    campaign = await intake.campaign(0)
    await tick(intake.pool, NOON + HOUR)
    await intake.pool.execute("UPDATE clock SET at = $1", NOON - HOUR)
    with suppress(store.ClockUnconfirmed):
        return await intake.end(campaign) > NOON + HOUR
    return await intake.events(CampaignEnded) == []


async def a_press_is_open_while_its_campaign_ends(intake: Intake, host: Host) -> bool:
    """What must hold: no press counts after the END."""
    ada = await intake.user("Ada")
    campaign = await intake.campaign(1, None, ada)
    async with held(intake.database_url, "SELECT FROM recipients FOR UPDATE"):
        pressing = asyncio.create_task(intake.press(campaign, 0, ada))
        await waiting(intake.pool, ROW)  # it has seen that the campaign has not ended
        ending = asyncio.create_task(intake.end(campaign))
        await waiting_or_done(intake.pool, ADVISORY, ending)
    await asyncio.gather(pressing, ending)
    return await _in_order(intake) == [RecipientProcessed, CampaignEnded]


async def the_host_goes_back_after_a_press_at_t(intake: Intake, host: Host) -> bool:
    """What must hold: after a press that was due at once no END is before T."""
    ada = await intake.user("Ada")
    campaign = await intake.campaign(1, T, ada)
    await host.set(T)
    answer = await intake.press(campaign, 0, ada)
    assert isinstance(answer, Processed) and answer.due_at == answer.processed_at
    await host.set(NOON)
    return await intake.end(campaign) > T


async def two_press_the_same_recipient(intake: Intake, host: Host) -> bool:
    """What must hold: one event of it."""
    ada, bob = await intake.user("Ada"), await intake.user("Bob")
    await intake.press(await intake.campaign(1, None, ada), 0, ada)  # the person is known: their sender is no safeguard
    campaign = await intake.campaign(1, None, ada, bob)
    async with held(intake.database_url, "SELECT FROM recipients FOR UPDATE"):
        presses = [asyncio.create_task(intake.press(campaign, 0, user)) for user in (ada, bob)]
        await waiting(intake.pool, ROW, 2)  # both have seen that nobody has pressed
    await asyncio.gather(*presses)
    return len(await intake.events(RecipientProcessed)) == 2


async def one_campaign_of_a_batch_is_being_ended(intake: Intake, host: Host) -> bool:
    """What must hold: the other one's presses are answered meanwhile."""
    ada, bob = await intake.user("Ada"), await intake.user("Bob")
    ending, other = await intake.campaign(4, None, ada), await intake.campaign(4, None, bob)
    async with held(intake.database_url, LOCK_CAMPAIGN, ending.campaign_id):
        # So many that some of both come into one batch, however the flushers share them.
        pairs = [(intake.press(ending, n, ada), intake.press(other, n, bob)) for n in range(4)]
        of_ending, of_other = ([asyncio.create_task(press) for press in side] for side in zip(*pairs, strict=True))
        await waiting(intake.pool, ADVISORY)
        await asyncio.wait(of_other, timeout=3)  # a patience that only the loser needs
        answered = all(task.done() for task in of_other) and not any(task.done() for task in of_ending)
    await asyncio.gather(*of_ending, *of_other)
    return answered


async def _in_order(intake: Intake) -> list[type]:
    """The kinds of what was pressed and ended, in the outbox's order."""
    rows = await intake.pool.fetch("SELECT events FROM outbox WHERE topic IN ('processed', 'campaigns') ORDER BY seq")
    found = [type(decode(value)) for row in rows for _, value in unpack(row["events"])]
    return [kind for kind in found if kind in (RecipientProcessed, CampaignEnded)]


# --- what is taken out -------------------------------------------------------------------------------------

CLOCK_LOCK = "pg_advisory_xact_lock_shared(hashtextextended('handsent.clock', 2))"
MUTANTS: dict[str, tuple[Scenario, Changes]] = {
    "the clock's lock, in END": (
        the_clock_is_read_while_an_end_is_open,
        {"lock_clock_shared": (CLOCK_LOCK, "1")},
    ),
    "the clock's lock, in the clock": (
        the_clock_is_read_while_an_end_is_open,
        {"tick()": ("PERFORM pg_advisory_xact_lock(hashtextextended('handsent.clock', 2));", "")},
    ),
    "a new statement after the lock": (
        an_end_waits_for_the_clock_while_the_host_goes_back,
        {
            "lock_clock_shared": (CLOCK_LOCK, "1"),
            "end_campaign": ("FROM clock k\n", f"FROM clock k, (SELECT {CLOCK_LOCK} OFFSET 0) l\n"),
        },
    ),
    "an END above the last reading": (
        the_host_goes_back_between_a_reading_and_an_end,
        {"end_campaign": ("k.at + interval '1 microsecond',", "")},
    ),
    "a reading above the last one": (
        the_host_goes_back_between_readings,
        {"tick()": ("c.at + interval '1 microsecond',", "")},
    ),
    "a reading above what was published": (
        postgres_forgets_what_was_published,
        {"tick()": (", published + interval '1 microsecond'", "")},
    ),
    "the incarnation": (
        an_end_comes_right_after_a_restore,
        {
            "end_campaign": ("k.incarnation = incarnation(k.xmin) AND ", ""),
        },
    ),
    "the campaign's lock, in END": (
        a_press_is_open_while_its_campaign_ends,
        {"lock_campaign": ("pg_advisory_xact_lock(hashtextextended($1::text, 1))", "$1::text")},
    ),
    "the campaign's lock, in SEND": (
        a_press_is_open_while_its_campaign_ends,
        {"try_campaigns_shared": (" WHERE pg_try_advisory_xact_lock_shared(hashtextextended(id, 1))", "")},
    ),
    "who has reached T, in SEND": (
        the_host_goes_back_after_a_press_at_t,
        {"reach": ("ORDER BY id", "WHERE false")},
    ),
    "who has reached T, in END": (
        the_host_goes_back_after_a_press_at_t,
        {"end_campaign": ("(SELECT r.at FROM reached r WHERE r.campaign_id = $1) + interval '1 microsecond'", "NULL")},
    ),
    "processed once": (
        two_press_the_same_recipient,
        {"send": ("   AND r.processed_at IS NULL\n", "")},
    ),
    "batches that wait for nobody": (
        one_campaign_of_a_batch_is_being_ended,
        {"try_campaigns_shared": ("pg_try_advisory_xact_lock_shared(hashtextextended(id, 1))",
                                  "pg_advisory_xact_lock_shared(hashtextextended(id, 1)) IS NOT NULL")},
    ),
}  # fmt: skip


@pytest.fixture
async def host(intake: Intake, monkeypatch: pytest.MonkeyPatch) -> Host:
    """Noon, and the clock has said so."""
    monkeypatch.setattr(store, "CONFIRMED_WITHIN_S", 0.1)
    await intake.pool.execute("UPDATE clock SET at = 'epoch'")  # the real time was read once
    host = await Host.of(intake.pool, NOON)
    assert await tick(intake.pool) == NOON
    return host


@pytest.mark.parametrize("scenario", dict.fromkeys(s for s, _ in MUTANTS.values()), ids=lambda s: s.__name__)
async def test_the_race_is_won(intake: Intake, host: Host, scenario: Scenario) -> None:
    assert await scenario(intake, host), scenario.__doc__


@pytest.mark.parametrize("name", MUTANTS)
async def test_the_race_is_lost_without(intake: Intake, host: Host, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    scenario, changes = MUTANTS[name]
    for where, (taken_out, instead) in changes.items():
        if where.endswith("()"):
            await _change_function(intake.pool, where, taken_out, instead)
        else:
            statement = getattr(store.q, where)
            monkeypatch.setitem(store.q._statements, where, _without(statement, taken_out, instead))
    assert not await scenario(intake, host), f"nothing notices that it is missing: {name}"


def _without(statement: str, taken_out: str, instead: str) -> str:
    assert statement.count(taken_out) == 1, "the safeguard is written otherwise now"
    return statement.replace(taken_out, instead)


async def _change_function(pool: Pool, where: str, taken_out: str, instead: str) -> None:
    definition = await pool.fetchval("SELECT pg_get_functiondef($1::regproc)", where.removesuffix("()"))
    await pool.execute(_without(definition, taken_out, instead))
