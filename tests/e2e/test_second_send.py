"""A second SEND, by whoever and however: one text, and the first answer is kept."""

import asyncio

from tests.e2e.story import Story

KEPT = ("recipient_id", "processed_at", "processed_by", "due_at")


async def test_a_second_send_by_the_same_or_another_user_changes_nothing(story: Story) -> None:
    people = story.numbers(2)
    campaign = await story.campaign(people)
    sam, sue = await story.sending("Sam", campaign), await story.sending("Sue", campaign)
    first = (await sam.sends(campaign, people[0])).body
    await story.settles(campaign, delivered=1, unprocessed=1)
    [batch] = await sue.sends_all(campaign, [people[0]])
    for again in ((await sam.sends(campaign, people[0])).body, (await sue.sends(campaign, people[0])).body, batch):
        assert {name: again[name] for name in KEPT} == {name: first[name] for name in KEPT}
        assert again["state"] == "delivered"
    assert (await story.row(campaign, people[0]))["processed_by"] == first["processed_by"]
    await sue.sends(campaign, people[1])
    await story.settles(campaign, delivered=2)
    assert await story.texted(people) == dict.fromkeys(people, 1)


async def test_somebody_who_does_not_send_the_campaign_hears_the_first_answer(story: Story) -> None:
    people = story.numbers(1)
    campaign = await story.campaign(people)
    sam = await story.sending("Sam", campaign)
    first = (await sam.sends(campaign, people[0])).body
    idle = await story.user("Ida")
    again = await idle.sends(campaign, people[0])
    assert again.status == 200
    assert {name: again.body[name] for name in KEPT} == {name: first[name] for name in KEPT}


async def test_twenty_presses_at_once_are_one_text(story: Story) -> None:
    people = story.numbers(3)
    campaign = await story.campaign(people)
    users = [await story.sending(name, campaign) for name in ("Sam", "Sue")]
    for number in people[:2]:
        answers = await asyncio.gather(*(user.sends(campaign, number) for user in users * 10))
        assert [answer.status for answer in answers] == [200] * 20
        assert len({tuple(answer.body[name] for name in KEPT) for answer in answers}) == 1
    batches = await asyncio.gather(*(user.sends_all(campaign, people[2:] * 20) for user in users))
    results = [result for batch in batches for result in batch]
    assert {result["status"] for result in results} == {200}
    assert len({tuple(result[name] for name in KEPT) for result in results}) == 1
    await story.settles(campaign, delivered=3)
    assert await story.texted(people) == dict.fromkeys(people, 1)
    assert len(await story.ledger(people)) == 3


async def test_a_batch_answers_each_press_in_order(story: Story) -> None:
    people = story.numbers(3)
    campaign = await story.campaign(people)
    sam = await story.sending("Sam", campaign)
    first = (await sam.sends(campaign, people[1])).body
    asked = [campaign.rid(people[0]), campaign.rid("+12025550199"), campaign.rid(people[1]), "nonsense"]
    body = await sam.ok(
        "POST", f"/campaigns/{campaign.id}/send", json={"recipients": [{"recipient_id": r} for r in asked]}
    )
    results = body["results"]
    assert [(r["recipient_id"], r["status"]) for r in results] == list(zip(asked, (200, 404, 200, 404), strict=True))
    assert results[1]["code"] == "not_found"
    assert {name: results[2][name] for name in KEPT} == {name: first[name] for name in KEPT}
    await story.settles(campaign, delivered=2, unprocessed=1)
    assert await story.texted(people) == dict.fromkeys(people[:2], 1)
