"""SEND on a real Postgres: once per recipient, wholly before the END or wholly after it."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from kernel.seal import NUMBER, text_of
from kernel.testing import number
from send_intake import store, store_sending
from send_intake.admission import Processed, Refused
from send_intake.store_presses import Presses

from schemas.events import CampaignEnded, RecipientProcessed
from tests.integration.send_intake.conftest import TOKEN_ID, Intake

LATER = datetime.now(UTC) + timedelta(hours=1)


async def test_a_press_is_answered_with_what_is_in_the_log(intake: Intake) -> None:
    ada = await intake.user("Ada")
    campaign = await intake.campaign(3, None, ada)
    answer = await intake.press(campaign, 1, ada)
    [event] = await intake.events(RecipientProcessed)
    assert isinstance(answer, Processed) and isinstance(event, RecipientProcessed)
    assert answer.first and answer.due_at == answer.processed_at
    assert (event.recipient_id, event.processed_at, event.processed_by, event.due_at) == (
        answer.recipient_id, answer.processed_at, ada.user_id, answer.due_at,
    )  # fmt: skip
    rid, person = event.recipient_id, event.person_id
    assert await intake.opened(person, NUMBER, event.number) == number(1)
    assert await intake.opened(person, text_of(rid), event.text) == "Hello n1"
    keys = await intake.vault.keys([person])
    assert event.text_hash == keys[person].commitment(rid, "Hello n1")
    assert (event.sender, event.token_id, event.client) == (campaign.sender, TOKEN_ID, "a browser")


async def test_a_press_on_somebody_who_was_erased_is_processed_and_says_nothing(intake: Intake) -> None:
    ada = await intake.user("Ada")
    campaign = await intake.campaign(2, None, ada)
    await intake.erase(campaign, 1)
    answer = await intake.press(campaign, 1, ada)
    [event] = await intake.events(RecipientProcessed)
    assert isinstance(answer, Processed) and isinstance(event, RecipientProcessed)
    assert (event.text, event.text_hash) == ("", None)


async def test_a_key_that_is_missing_is_no_erasure_and_holds_up_nobody_else(intake: Intake) -> None:
    ada = await intake.user("Ada")
    campaign = await intake.campaign(4, None, ada)
    lost = await intake.lose_key(campaign, 1)
    shown = await store_sending.next_rows(
        intake.pool, intake.vault, campaign.account_id, campaign.campaign_id, ada.user_id, 4, 900
    )
    assert [row.person.number for row in shown] == [number(n) for n in (0, 2, 3)]
    answers = await asyncio.gather(*(intake.press(campaign, n, ada) for n in range(4)))
    assert [isinstance(answer, Processed) for answer in answers] == [True, False, True, True]
    assert answers[1] is Refused.KEY_MISSING
    await intake.give_back(lost)
    assert isinstance(await intake.press(campaign, 1, ada), Processed), "nothing was lost"
    events = [event for event in await intake.events(RecipientProcessed) if isinstance(event, RecipientProcessed)]
    assert len(events) == 4 and all(event.text and event.text_hash for event in events)


async def test_whom_version_0_1_0_listed_is_pressed_and_sealed_from_then_on(intake: Intake) -> None:
    ada = await intake.user("Ada")
    campaign = await intake.campaign(1, None, ada)
    await intake.lose_key(campaign, 0)
    await intake.pool.execute("UPDATE recipients SET number = $1, cells = '[\"n0\"]'", number(0))
    assert isinstance(await intake.press(campaign, 0, ada), Processed)
    [event] = await intake.events(RecipientProcessed)
    assert isinstance(event, RecipientProcessed) and event.text_hash
    assert await intake.opened(event.person_id, NUMBER, event.number) == number(0) != event.number
    assert await intake.opened(event.person_id, text_of(event.recipient_id), event.text) == "Hello n0"


async def test_a_press_before_t_is_due_at_t(intake: Intake) -> None:
    ada = await intake.user("Ada")
    campaign = await intake.campaign(1, LATER, ada)
    answer = await intake.press(campaign, 0, ada)
    assert isinstance(answer, Processed) and answer.due_at == LATER > answer.processed_at


@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "in batches of two processes"])
async def test_two_users_on_one_recipient_get_the_same_answer_and_make_one_event(
    intake: Intake, together: bool
) -> None:
    ada, bob = await intake.user("Ada"), await intake.user("Bob")
    campaign = await intake.campaign(40, None, ada, bob)
    other = (
        intake
        if together
        else Intake(intake.pool, intake.vault, Presses(intake.pool, intake.vault, asyncio.Event()), intake.database_url)
    )
    running = asyncio.create_task(other.presses.run())
    pairs = await asyncio.gather(
        *(asyncio.gather(intake.press(campaign, n, ada), other.press(campaign, n, bob)) for n in range(40))
    )
    running.cancel()
    for one, two in pairs:
        assert isinstance(one, Processed) and isinstance(two, Processed)
        assert one.first != two.first
        assert (one.processed_at, one.processed_by) == (two.processed_at, two.processed_by)
    assert len(await intake.events(RecipientProcessed)) == 40


async def test_a_double_press_of_one_user_is_one(intake: Intake) -> None:
    ada = await intake.user("Ada")
    campaign = await intake.campaign(1, None, ada)
    answers = await asyncio.gather(*(intake.press(campaign, 0, ada) for _ in range(20)))
    assert len({(a.processed_at, a.processed_by) for a in answers if isinstance(a, Processed)}) == 1
    assert len(await intake.events(RecipientProcessed)) == 1


async def test_a_press_by_somebody_who_does_not_send_the_campaign_is_refused_unless_it_was_answered(
    intake: Intake,
) -> None:
    ada, bob = await intake.user("Ada"), await intake.user("Bob")
    campaign = await intake.campaign(2, None, ada)
    assert await intake.press(campaign, 0, bob) is Refused.NOT_SENDING
    first = await intake.press(campaign, 0, ada)
    repeat = await intake.press(campaign, 0, bob)
    assert isinstance(first, Processed) and isinstance(repeat, Processed)
    assert (repeat.processed_at, repeat.processed_by) == (first.processed_at, ada.user_id)
    assert await intake.press(campaign, 7, ada) is Refused.NOT_FOUND


@pytest.mark.parametrize("scheduled_for", [None, LATER])
async def test_every_send_is_wholly_before_the_end_or_refused(intake: Intake, scheduled_for: datetime | None) -> None:
    users = [await intake.user(f"user {n}") for n in range(8)]
    campaign = await intake.campaign(800, scheduled_for, *users)
    answered: list[object] = []

    async def press(which: int) -> None:
        for n in range(which, 800, 8):
            answered.append(await intake.press(campaign, n, users[which]))

    async def end() -> None:
        while len(answered) < 150:
            await asyncio.sleep(0)
        await store.end_campaign(intake.pool, campaign, "a manager")

    await asyncio.gather(end(), *(press(which) for which in range(8)))
    [ended] = await intake.events(CampaignEnded)
    assert isinstance(ended, CampaignEnded)
    sent = [answer for answer in answered if isinstance(answer, Processed)]
    assert 150 <= len(sent) < 800
    assert all(answer is Refused.CAMPAIGN_ENDED for answer in answered if not isinstance(answer, Processed))
    assert max(answer.processed_at for answer in sent) < ended.ended_at
    assert len(await intake.events(RecipientProcessed)) == len(sent)
    again = await intake.press(campaign, 0, users[0])
    assert isinstance(again, Processed) and not again.first, "what was answered stays answered after the END"


async def test_an_end_is_answered_once_and_frees_its_senders(intake: Intake) -> None:
    ada = await intake.user("Ada")
    campaign = await intake.campaign(1, None, ada)
    await asyncio.gather(*(store.end_campaign(intake.pool, campaign, f"manager {n}") for n in range(5)))
    assert len(await intake.events(CampaignEnded)) == 1
    assert not await store_sending.is_sending(intake.pool, campaign.account_id, campaign.campaign_id, ada.user_id)


async def test_a_stream_of_presses_does_not_keep_the_end_waiting(intake: Intake) -> None:
    ada = await intake.user("Ada")
    campaign = await intake.campaign(2000, None, ada)
    over = asyncio.Event()

    async def press_on(start: int) -> None:
        for n in range(start, 2000, 20):
            if over.is_set():
                return
            await intake.press(campaign, n, ada)

    async def end() -> None:
        async with asyncio.timeout(5):
            await store.end_campaign(intake.pool, campaign, "a manager")
        over.set()

    await asyncio.gather(end(), *(press_on(start) for start in range(20)))
    assert over.is_set()
