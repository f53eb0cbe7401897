"""Any number of users send any number of campaigns; one user sends one campaign at a time."""

import asyncio

from tests.e2e.story import Story


async def test_a_user_sends_one_campaign_at_a_time_and_may_take_over(story: Story) -> None:
    people, others = story.numbers(2), story.numbers(2)
    first, second = await story.campaign(people), await story.campaign(others)
    sam = await story.user("Sam")
    refused = await sam.sends(first, people[0])
    assert (refused.status, refused.code) == (409, "not_sending")
    refused = await sam.call("POST", f"/campaigns/{first.id}/sending/next", json={"limit": 5})
    assert (refused.status, refused.code) == (409, "not_sending")

    assert (await sam.starts(first)).status == 200
    assert (await sam.starts(first)).status == 200
    refused = await sam.starts(second)
    assert (refused.status, refused.code) == (409, "sending_another")
    assert first.id in str(refused.body) and first.name in str(refused.body)
    refused = await sam.sends(second, others[0])
    assert (refused.status, refused.code) == (409, "not_sending")
    [batch] = await sam.sends_all(second, [others[0]])
    assert (batch["status"], batch["code"]) == (409, "not_sending")

    assert (await sam.starts(second, take_over=True)).status == 200
    refused = await sam.sends(first, people[0])
    assert (refused.status, refused.code) == (409, "not_sending")
    assert (await sam.sends(second, others[0])).status == 200

    assert (await sam.stops(second)).status < 300
    assert (await sam.stops(second)).status < 300
    assert (await sam.sends(second, others[1])).code == "not_sending"
    assert (await sam.starts(first)).status == 200
    assert (await sam.sends(first, people[0])).status == 200
    await story.settles(first, delivered=1, unprocessed=1)
    await story.settles(second, delivered=1, unprocessed=1)
    assert await story.texted([*people, *others]) == {people[0]: 1, others[0]: 1}


async def test_starting_many_at_once_leaves_one(story: Story) -> None:
    campaigns = [await story.campaign() for _ in range(4)]
    sue = await story.user("Sue")
    answers = await asyncio.gather(*(sue.starts(campaign) for campaign in campaigns))
    assert sorted(answer.status for answer in answers) == [200, 409, 409, 409]
    mia = await story.manager()
    listed = (await mia.ok("GET", "/campaigns"))["campaigns"]
    mine = [c for c in listed if c["campaign_id"] in {campaign.id for campaign in campaigns}]
    assert sum(len(c["sending"]) for c in mine) == 1


async def test_two_users_are_shown_different_rows_and_their_own_first(story: Story) -> None:
    people = story.numbers(10)
    campaign = await story.campaign(people)
    tom, una = await story.sending("Tom", campaign), await story.sending("Una", campaign)
    toms, unas = await asyncio.gather(tom.rows(campaign, 4), una.rows(campaign, 4))
    shown = [{row["recipient_id"] for row in rows} for rows in (toms, unas)]
    assert [len(rows) for rows in shown] == [4, 4] and not shown[0] & shown[1]
    assert [row["recipient_id"] for row in await tom.rows(campaign, 4)] == [row["recipient_id"] for row in toms]

    assert (await tom.sends(campaign, toms[0]["phone"])).status == 200
    again = [row["recipient_id"] for row in await tom.rows(campaign, 4)]
    assert again[:3] == [row["recipient_id"] for row in toms[1:]]
    assert len(again) == 4 and not set(again) & shown[1]
    assert len(await tom.rows(campaign, 100)) == 5  # all that are neither SENT nor shown to Una

    assert (await tom.sends(campaign, unas[0]["phone"])).status == 200, "a claim blocks nobody else's SEND"
    assert (await una.stops(campaign)).status < 300
    assert len(await tom.rows(campaign, 100)) == 8
    await story.settles(campaign, delivered=2, unprocessed=8)
    assert sum((await story.texted(people)).values()) == 2


async def test_many_users_send_many_campaigns_at_the_same_time(story: Story) -> None:
    lists = [story.numbers(40) for _ in range(3)]
    campaigns = [await story.campaign(numbers) for numbers in lists]
    users = await story.users(*((name, "sender") for name in ("Sam", "Sue", "Tom", "Una")))
    places = [campaigns[0], campaigns[0], campaigns[1], campaigns[2]]

    async def work(place: int) -> None:
        campaign, me = places[place], users[place]
        assert (await me.starts(campaign, take_over=True)).status == 200
        while rows := await me.rows(campaign, 10):
            answers = await asyncio.gather(*(me.sends(campaign, row["phone"]) for row in rows))
            assert {answer.status for answer in answers} == {200}

    await asyncio.gather(*(work(place) for place in range(len(users))))
    for campaign, numbers in zip(campaigns, lists, strict=True):
        await story.settles(campaign, delivered=40)
        assert await story.texted(numbers) == dict.fromkeys(numbers, 1)
    senders = {row["processed_by"] for row in await story.report(campaigns[0])}
    assert len(senders) == 2
