"""Lists and claims on a real Postgres."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from kernel.seal import NUMBER, is_sealed
from kernel.testing import eventually, number
from send_intake import store, store_sending
from send_intake.store import q

from schemas.events import RecipientAdded
from tests.integration.send_intake.conftest import Intake

CLAIM_S = 900


async def claimed(intake: Intake, campaign_id: str, user_id: str, limit: int, fair: bool = False) -> list[str]:
    account_id = (await intake.user("manager")).account_id
    rows = await store_sending.next_rows(
        intake.pool, intake.vault, account_id, campaign_id, user_id, limit, CLAIM_S, fair
    )
    return [row.person.number for row in rows]


async def test_the_same_list_again_adds_nothing(intake: Intake) -> None:
    campaign = await intake.campaign(50)
    assert await intake.add(campaign, range(50)) == 0
    assert await intake.add(campaign, range(40, 60)) == 10
    events = [event for event in await intake.events(RecipientAdded) if isinstance(event, RecipientAdded)]
    assert [await intake.opened(event.person_id, NUMBER, event.number) for event in events] == [
        number(n) for n in range(60)
    ]
    assert all(is_sealed(event.number) and is_sealed(event.cells) for event in events)
    assert {tuple(event.columns.items()) for event in events} == {(("name", ""),)}
    assert await intake.pool.fetchval("SELECT recipients FROM campaigns") == 60


async def test_the_same_list_by_many_at_once_adds_each_once(intake: Intake) -> None:
    campaign = await intake.campaign(0)
    added = await asyncio.gather(*(intake.add(campaign, range(200)) for _ in range(6)))
    assert sum(added) == 200
    assert len(await intake.events(RecipientAdded)) == 200


async def test_a_campaign_that_ended_takes_no_more(intake: Intake) -> None:
    campaign = await intake.campaign(1)
    await store.end_campaign(intake.pool, campaign, "a manager")
    with pytest.raises(store.Ended):
        await intake.add(campaign, range(1, 5))


async def test_users_who_ask_at_the_same_time_get_different_rows(intake: Intake) -> None:
    users = [await intake.user(f"user {n}") for n in range(5)]
    campaign = await intake.campaign(60, None, *users)
    shown = await asyncio.gather(*(claimed(intake, campaign.campaign_id, user.user_id, 10) for user in users))
    everything = [one for rows in shown for one in rows]
    assert len(everything) == len(set(everything)) == 50


async def test_a_user_sees_the_own_rows_again_topped_up_by_what_was_pressed(intake: Intake) -> None:
    ada = await intake.user("Ada")
    campaign = await intake.campaign(10, None, ada)
    assert await claimed(intake, campaign.campaign_id, ada.user_id, 3) == [number(n) for n in range(3)]
    assert await claimed(intake, campaign.campaign_id, ada.user_id, 3) == [number(n) for n in range(3)]
    await intake.press(campaign, 1, ada)
    assert await claimed(intake, campaign.campaign_id, ada.user_id, 3) == [number(n) for n in (0, 2, 3)]


async def test_claims_lapse_and_never_keep_another_from_pressing(intake: Intake) -> None:
    ada, bob = await intake.user("Ada"), await intake.user("Bob")
    campaign = await intake.campaign(4, None, ada, bob)
    await claimed(intake, campaign.campaign_id, ada.user_id, 4)
    assert await claimed(intake, campaign.campaign_id, bob.user_id, 4) == []
    assert (await intake.press(campaign, 0, bob)).processed_by == bob.user_id  # type: ignore[union-attr]
    await intake.pool.execute("UPDATE claims SET until = $1", datetime.now(UTC) - timedelta(seconds=1))
    assert await claimed(intake, campaign.campaign_id, bob.user_id, 4) == [number(n) for n in (1, 2, 3)]


async def test_a_user_sends_one_campaign_at_a_time(intake: Intake) -> None:
    ada = await intake.user("Ada")
    first, second = await intake.campaign(3, None, ada), await intake.campaign(3)
    await claimed(intake, first.campaign_id, ada.user_id, 3)
    with pytest.raises(store_sending.SendingAnother) as another:
        await store_sending.start(intake.pool, second.account_id, second.campaign_id, ada.user_id, take_over=False)
    assert another.value.campaign_id == first.campaign_id
    await store_sending.start(intake.pool, second.account_id, second.campaign_id, ada.user_id, take_over=True)
    bob = await intake.user("Bob")
    await store_sending.start(intake.pool, first.account_id, first.campaign_id, bob.user_id, take_over=False)
    assert len(await claimed(intake, first.campaign_id, bob.user_id, 3)) == 3, "the rows Ada left are free"


async def test_who_was_erased_is_shown_to_nobody_and_others_take_their_place(intake: Intake) -> None:
    ada = await intake.user("Ada")
    campaign = await intake.campaign(6, None, ada)
    await intake.erase(campaign, 1)
    assert await claimed(intake, campaign.campaign_id, ada.user_id, 3) == [number(n) for n in (0, 2, 3)]


async def test_the_last_rows_are_shared_among_those_who_are_there(intake: Intake) -> None:
    gone, ada, bob = [await intake.user(name) for name in ("Gone", "Ada", "Bob")]
    campaign = await intake.campaign(10, None, gone, ada, bob)
    assert len(await claimed(intake, campaign.campaign_id, gone.user_id, 10, fair=True)) == 10
    await store_sending.leave(intake.pool, campaign.account_id, campaign.campaign_id, gone.user_id)
    assert len(await claimed(intake, campaign.campaign_id, ada.user_id, 10, fair=True)) == 10
    assert len(await claimed(intake, campaign.campaign_id, bob.user_id, 10, fair=True)) == 5


@pytest.mark.parametrize("statement", ["stop_sending", "free_everyone"])
async def test_who_sends_is_locked_before_the_rows_they_were_shown(intake: Intake, statement: str) -> None:
    """As a take-over locks them: the other way round, the two would wait for each other."""
    ada = await intake.user("Ada")
    campaign = await intake.campaign(3, None, ada)
    await claimed(intake, campaign.campaign_id, ada.user_id, 3)
    asked = [ada.user_id, campaign.campaign_id] if statement == "stop_sending" else [campaign.campaign_id]

    async def is_locked() -> bool:
        free = await intake.pool.fetch("SELECT FROM sendings WHERE user_id = $1 FOR UPDATE SKIP LOCKED", ada.user_id)
        return not free

    async with intake.pool.acquire() as other, other.transaction():
        await other.execute("SELECT FROM claims WHERE user_id = $1 FOR UPDATE", ada.user_id)
        ending = asyncio.create_task(intake.pool.execute(getattr(q, statement), *asked))
        await eventually(is_locked, "its sender's row is locked, while it waits for the claims")
    await ending
