"""Several sender numbers: each person keeps the one they were first SENT from, whoever presses what meanwhile."""

import asyncio
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from kernel import database
from kernel.testing import number
from kernel.tokens import Role
from send_intake import store, store_presses, store_senders, store_sending, store_users
from send_intake.admission import Campaign, Processed, Refused
from send_intake.store_presses import Presses
from send_intake.store_senders import Overtaken

from schemas.events import CampaignCreated, RecipientProcessed
from schemas.identity import person_id
from tests.integration.send_intake.conftest import SECRET, Intake
from tests.integration.send_intake.door import as_user
from tests.integration.send_intake.races import ROW, held, waiting

A, B, C, D = (f"+1844555020{n}" for n in range(4))
PEOPLE = 60


async def sent_from(intake: Intake, campaign: Campaign) -> dict[str, str]:
    """Whom the campaign's presses are texted from, by the log."""
    events = await intake.events(RecipientProcessed)
    return {
        e.person_id: e.sender
        for e in events
        if isinstance(e, RecipientProcessed) and e.campaign_id == campaign.campaign_id
    }


async def press_all(intake: Intake, campaign: Campaign, user: Any, count: int = PEOPLE) -> None:
    answers = await asyncio.gather(*(intake.press(campaign, n, user) for n in range(count)))
    assert all(isinstance(answer, Processed) and answer.first for answer in answers)


async def test_each_sender_of_a_campaign_has_its_share_and_each_person_keeps_theirs(intake: Intake) -> None:
    ada = await intake.user("Ada")
    first = await intake.campaign(PEOPLE, None, ada, sent_from=(A, B))
    await press_all(intake, first, ada)
    theirs = await sent_from(intake, first)
    assert set(Counter(theirs.values())) == {A, B} and min(Counter(theirs.values()).values()) >= PEOPLE // 5
    second = await intake.campaign(2 * PEOPLE, None, ada, sent_from=(D, C, B, A))
    await press_all(intake, second, ada, 2 * PEOPLE)
    later = await sent_from(intake, second)
    assert {person: later[person] for person in theirs} == theirs
    assert {later[person] for person in later.keys() - theirs.keys()} == {A, B, C, D}


async def test_who_meets_a_campaign_without_their_sender_gets_another_and_has_their_own_back_later(
    intake: Intake,
) -> None:
    ada = await intake.user("Ada")
    campaigns = [await intake.campaign(PEOPLE, None, ada, sent_from=one) for one in [(A,), (B, C), (C, B), (B, A)]]
    for campaign in campaigns:
        await store_sending.start(intake.pool, campaign.account_id, campaign.campaign_id, ada.user_id, take_over=True)
        await press_all(intake, campaign, ada)
    alone, without, again, back = [await sent_from(intake, campaign) for campaign in campaigns]
    assert set(alone.values()) == {A} and set(back.values()) == {A}
    assert set(without.values()) == {B, C} and without == again


async def test_one_batch_with_two_campaigns_of_one_person_sends_both_from_one_number(intake: Intake) -> None:
    """The first by id is the first: so says the log, in which they have the same time."""
    ada, bob = await intake.user("Ada"), await intake.user("Bob")
    one = await intake.campaign(PEOPLE, None, ada, sent_from=(A, B, C))
    two = await intake.campaign(PEOPLE, None, bob, sent_from=(C, D, A))
    await asyncio.gather(press_all(intake, one, ada), press_all(intake, two, bob))
    both = await sent_from(intake, one), await sent_from(intake, two)
    await agree(intake, *both)


async def agree(intake: Intake, one: dict[str, str], two: dict[str, str]) -> None:
    """Who could have the same number from both campaigns has it; and what is remembered is what the log gives."""
    rows = await intake.pool.fetch("SELECT person_id::text, sender, since FROM first_senders")
    first = {row["person_id"]: row["sender"] for row in rows}
    events = [e for e in await intake.events(RecipientProcessed) if isinstance(e, RecipientProcessed)]
    log: dict[str, RecipientProcessed] = {}
    for event in sorted(events, key=lambda e: (e.processed_at, e.recipient_id)):
        log.setdefault(event.person_id, event)
    assert first == {person: event.sender for person, event in log.items()}
    assert {row["person_id"]: row["since"] for row in rows} == {p: e.processed_at for p, e in log.items()}
    for person, sender in first.items():
        assert sender in (one[person], two[person])
        if sender in (A, C):  # both campaigns have these
            assert one[person] == two[person] == sender


async def test_two_processes_that_send_two_campaigns_to_the_same_people_agree(intake: Intake) -> None:
    ada, bob = await intake.user("Ada"), await intake.user("Bob")
    other = Intake(intake.pool, intake.vault, Presses(intake.pool, intake.vault, asyncio.Event()), intake.database_url)
    running = asyncio.create_task(other.presses.run())
    try:
        for _ in range(5):
            one = await intake.campaign(PEOPLE, None, ada, sent_from=(A, B, C))
            two = await intake.campaign(PEOPLE, None, bob, sent_from=(C, D, A))
            await asyncio.gather(press_all(intake, one, ada), press_all(other, two, bob))
            await agree(intake, await sent_from(intake, one), await sent_from(intake, two))
            await intake.pool.execute("TRUNCATE first_senders, outbox")
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def test_a_press_that_waited_for_another_of_the_person_comes_after_it_also_by_its_time(intake: Intake) -> None:
    """It had read its time; the other read a later one and was remembered first. The log must not say otherwise."""
    ada = await intake.user("Ada")
    campaign = await intake.campaign(1, None, ada, sent_from=(A,))
    person = person_id(SECRET, campaign.account_id, number(0))
    overtaking = "INSERT INTO first_senders VALUES ($1, $2, $3, clock_timestamp())"
    async with held(intake.database_url, overtaking, person, campaign.account_id, B) as other:
        pressing = asyncio.create_task(intake.press(campaign, 0, ada))
        await waiting(intake.pool, ROW)
        await other.execute("UPDATE first_senders SET since = clock_timestamp()")
    answer = await pressing
    since = await intake.pool.fetchval("SELECT since FROM first_senders")
    assert isinstance(answer, Processed) and answer.first
    assert await sent_from(intake, campaign) == {person: A}, "the campaign has no other"
    assert await intake.pool.fetchval("SELECT sender FROM first_senders") == B
    assert answer.processed_at > since and len(await intake.events(RecipientProcessed)) == 1


async def test_the_first_sender_is_read_again_when_it_was_overtaken(
    intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await intake.user("Ada")
    campaign = await intake.campaign(1, None, ada, sent_from=(A, B))
    overtaken = 0
    ours = store_senders.senders_of

    async def once(connection: Any, pressed: Any) -> Any:
        nonlocal overtaken
        overtaken += 1
        if overtaken == 1:
            raise Overtaken
        return await ours(connection, pressed)

    monkeypatch.setattr(store_presses, "senders_of", once)
    assert isinstance(await intake.press(campaign, 0, ada), Processed)
    assert overtaken == 2 and len(await intake.events(RecipientProcessed)) == 1


async def test_two_processes_with_the_same_people_in_other_orders_do_not_stand_in_each_others_way(
    intake: Intake,
) -> None:
    ada, bob = await intake.user("Ada"), await intake.user("Bob")
    other = Intake(intake.pool, intake.vault, Presses(intake.pool, intake.vault, asyncio.Event()), intake.database_url)
    running = asyncio.create_task(other.presses.run())
    one = await intake.campaign(500, None, ada, sent_from=(A, B))
    two = await intake.campaign(500, None, bob, sent_from=(A, B))

    async def press(from_: Intake, campaign: Campaign, user: Any, numbers: range) -> None:
        answers = await asyncio.gather(*(from_.press(campaign, n, user) for n in numbers))
        assert all(isinstance(answer, Processed) for answer in answers)

    await asyncio.gather(press(intake, one, ada, range(500)), press(other, two, bob, range(499, -1, -1)))
    running.cancel()
    assert await sent_from(intake, one) == await sent_from(intake, two)
    deadlocks = await intake.pool.fetchval("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    assert deadlocks == 0


async def test_a_press_carries_the_latest_useful_time(intake: Intake) -> None:
    ada = await intake.user("Ada")
    until = datetime.now(UTC) + timedelta(hours=1)
    campaign = await intake.campaign(1, None, ada, useful_until=until)
    await intake.press(campaign, 0, ada)
    [created], [pressed] = await intake.events(CampaignCreated), await intake.events(RecipientProcessed)
    assert isinstance(created, CampaignCreated) and isinstance(pressed, RecipientProcessed)
    assert created.useful_until == pressed.useful_until == until
    assert created.senders == (created.sender,) == (pressed.sender,)


async def test_a_press_of_a_campaign_created_before_there_could_be_several(intake: Intake) -> None:
    """As the version before left it: no senders, and nobody's first one."""
    ada = await intake.user("Ada")
    campaign = await intake.campaign(2, None, ada)
    await intake.pool.execute("UPDATE campaigns SET senders = '{}'")
    row = await store.campaign_row(intake.pool, campaign.account_id, campaign.campaign_id)
    assert row is not None and store.senders_of(row) == [campaign.sender]
    assert store.unopened(row).senders == (campaign.sender,)


async def test_the_update_remembers_who_was_first_sent_from_where(intake: Intake) -> None:
    """The migration once more, on what presses left: it gives the rows that the presses made."""
    ada = await intake.user("Ada")
    for sender in (A, B):
        campaign = await intake.campaign(PEOPLE, None, ada, sent_from=(sender,))
        await press_all(intake, campaign, ada, PEOPLE // 2)
    made = await intake.pool.fetch("SELECT * FROM first_senders ORDER BY person_id")
    await intake.pool.execute("DROP TABLE first_senders")
    await intake.pool.execute("ALTER TABLE campaigns DROP COLUMN senders, DROP COLUMN useful_until")
    await intake.pool.execute("DELETE FROM migrations WHERE name LIKE '0006%'")
    await database.migrate(intake.database_url, "send_intake", "send_intake")
    assert len(made) == PEOPLE // 2
    assert await intake.pool.fetch("SELECT * FROM first_senders ORDER BY person_id") == made


# --- over HTTP ---------------------------------------------------------------------------------------------------


async def test_a_campaign_answers_all_its_senders_and_its_latest_useful_time(intake: Intake) -> None:
    mia = await intake.user("Mia")
    until = datetime.now(UTC) + timedelta(days=1)
    async with as_user(intake, mia) as http:
        asked = {"name": "x", "text": "y", "senders": [B, "(844) 555-0200", B], "useful_until": until.isoformat()}
        made = (await http.post("/campaigns", json=asked)).json()
        assert (made["sender"], made["senders"]) == (B, [B, A])
        assert datetime.fromisoformat(made["useful_until"]) == until
        assert (await http.get(f"/campaigns/{made['campaign_id']}")).json() == made
        plain = (await http.post("/campaigns", json={"name": "x", "text": "y"})).json()
        assert plain["senders"] == [plain["sender"]] and plain["useful_until"] is None
        listed = (await http.get("/senders")).json()["senders"]
        assert listed == [
            {"number": plain["sender"], "default": True}, {"number": A, "default": False},
            {"number": B, "default": False},
        ]  # fmt: skip
        await http.post(f"/campaigns/{made['campaign_id']}/sending")
        rows = (await http.post(f"/campaigns/{made['campaign_id']}/sending/next")).json()
        assert rows == {"recipients": [], "useful_until": made["useful_until"]}


async def test_a_number_belongs_to_one_account_for_ever(intake: Intake) -> None:
    mia = await intake.user("Mia")
    async with intake.pool.acquire() as connection:
        eve = (await store_users.add_user(connection, "another", "Eve", Role.MANAGER)).user  # type: ignore[arg-type]
    async with as_user(intake, mia) as http, as_user(intake, eve) as theirs:
        new, again = await http.post("/senders", json={"number": A}), await http.post("/senders", json={"number": A})
        assert (new.status_code, again.status_code) == (201, 200)
        assert new.json() == again.json() == {"number": A, "default": False}
        assert (await theirs.post("/senders", json={"number": A})).json()["code"] == "foreign_sender"
        assert (await theirs.post("/senders", json={"number": "12"})).json()["code"] == "bad_sender"
        refused = await theirs.post("/campaigns", json={"name": "x", "text": "y", "senders": [B, C, A]})
        assert (refused.status_code, refused.json()["code"]) == (422, "foreign_sender")
        assert (await http.post("/senders", json={"number": B})).status_code == 201, "a refusal takes no number"
        assert A not in [one["number"] for one in (await theirs.get("/senders")).json()["senders"]]


async def test_two_campaigns_of_an_account_may_name_a_new_number_at_the_same_moment(intake: Intake) -> None:
    mia = await intake.user("Mia")
    claim = "INSERT INTO senders (number, account_id) VALUES ($1, $2)"
    async with as_user(intake, mia) as http:
        async with held(intake.database_url, claim, A, mia.account_id):
            asking = asyncio.create_task(http.post("/campaigns", json={"name": "x", "text": "y", "senders": [A, B]}))
            await waiting(intake.pool, ROW)
        assert (await asking).status_code == 201


async def test_presses_leave_no_trace_of_persons_when_nothing_counted(intake: Intake) -> None:
    ada, bob = await intake.user("Ada"), await intake.user("Bob")
    campaign = await intake.campaign(3, None, ada, sent_from=(A, B))
    assert await intake.press(campaign, 0, bob) is Refused.NOT_SENDING
    assert await intake.pool.fetchval("SELECT count(*) FROM first_senders") == 0
