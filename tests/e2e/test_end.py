"""END: who types it completes the campaign; before T nobody is texted, else everyone SENT still is."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.e2e.story import Story, moment, until_passed

LEAD = timedelta(seconds=6)


async def test_end_before_t_texts_nobody(story: Story) -> None:
    people, others = story.numbers(8), story.numbers(1)
    [mia, _] = await story.users(("Mia", "manager"), ("Sam", "sender"))
    t = datetime.now(UTC) + LEAD
    campaign = await story.campaign(people, scheduled_for=t)
    beside = await story.campaign(others, scheduled_for=t)
    sam = await story.sending("Sam", campaign)
    sent = people[:6]
    firsts = {number: (await sam.sends(campaign, number)).body for number in sent}
    await story.sending("Sam", beside)
    await sam.sends(beside, others[0])

    ended = await mia.ends(campaign)
    assert ended.status == 200, ended
    assert ended.body.keys() == {"campaign_id", "state", "ended_at", "ended_by"}
    assert (ended.body["campaign_id"], ended.body["state"]) == (campaign.id, "completed")
    assert moment(ended.body["ended_at"]) < t, "this machine is too slow"
    await story.settles(campaign, dropped=6, unprocessed=2)

    await until_passed(t)
    await story.settles(beside, delivered=1)  # T has come for the one that was not ended
    await story.settles(campaign, dropped=6, unprocessed=2)
    assert await story.texted(people) == {}
    assert await story.ledger(people) == []
    for row in (await story.report(campaign))[:6]:
        assert (row["state"], row["delivery"], row["reason_code"]) == ("dropped", "", "campaign_ended")
        assert row["processed_at"] and not row["sent_at"] and not row["released_at"]
    for number in sent:
        again = (await sam.sends(campaign, number)).body
        assert again.pop("state") == "dropped"
        assert again.items() <= firsts[number].items()


async def test_end_of_an_unscheduled_campaign_still_texts_everyone_sent(story: Story) -> None:
    people = story.numbers(42)
    sent, unsent = people[:40], people[40:]
    campaign = await story.campaign(people)
    [mia] = await story.users(("Mia", "manager"))
    sam = await story.sending("Sam", campaign)
    await story.faults(latency_ms=200)
    results = await sam.sends_all(campaign, sent)
    assert [result["status"] for result in results] == [200] * 40
    assert (await mia.ends(campaign)).status == 200
    await story.settles(campaign, delivered=40, unprocessed=2)
    assert await story.texted(sent) == dict.fromkeys(sent, 1)
    assert await story.texted(unsent) == {}

    refused = await sam.sends(campaign, unsent[0])
    assert (refused.status, refused.code) == (409, "campaign_ended")
    again = await sam.sends(campaign, sent[0])
    assert again.status == 200
    assert again.body.pop("state") == "delivered"
    assert again.body.items() <= results[0].items()
    [batch] = await sam.sends_all(campaign, [unsent[1]])
    assert (batch["status"], batch["code"]) == (409, "campaign_ended")
    more = await mia.call(
        "POST", f"/campaigns/{campaign.id}/recipients", data=b"phone\n" + story.number().encode(),
        headers={"Content-Type": "text/csv"},
    )  # fmt: skip
    assert (more.status, more.code) == (409, "campaign_ended")
    assert (await story.progress(campaign))["recipients"] == 42


async def test_end_at_or_after_t_still_texts_everyone_sent(story: Story) -> None:
    people = story.numbers(5)
    [mia, _] = await story.users(("Mia", "manager"), ("Sam", "sender"))
    t = datetime.now(UTC) + LEAD / 2
    campaign = await story.campaign(people, scheduled_for=t)
    sam = await story.sending("Sam", campaign)
    for number in people[:4]:
        assert moment((await sam.sends(campaign, number)).body["due_at"]) == t
    await until_passed(t)
    ended = await mia.ends(campaign)
    assert moment(ended.body["ended_at"]) >= t
    await story.settles(campaign, delivered=4, unprocessed=1)
    assert await story.texted(people) == dict.fromkeys(people[:4], 1)


@pytest.mark.parametrize("typed", ["end", " END", "END ", "End", "", None, True, 1, ["END"]])
async def test_end_is_exactly_end(story: Story, typed: Any) -> None:
    campaign = await story.campaign()
    [mia] = await story.users(("Mia", "manager"))
    refused = await mia.ends(campaign, typed)
    assert (refused.status, bool(refused.code)) == (422, True)
    assert (await mia.ok("GET", f"/campaigns/{campaign.id}"))["state"] == "current"


async def test_end_without_a_word_is_refused(story: Story) -> None:
    campaign = await story.campaign()
    [mia] = await story.users(("Mia", "manager"))
    for body in ({}, {"CONFIRM": "END"}):
        assert (await mia.call("POST", f"/campaigns/{campaign.id}/end", json=body)).status == 422
    assert (await mia.call("POST", f"/campaigns/{campaign.id}/end")).status in (400, 422)
    assert (await mia.ok("GET", f"/campaigns/{campaign.id}"))["ended_at"] is None


async def test_a_repeated_end_gives_the_first_answer_and_frees_the_senders(story: Story) -> None:
    people = story.numbers(2)
    campaign, other = await story.campaign(people), await story.campaign(story.numbers(1))
    mia, max_ = await story.users(("Mia", "manager"), ("Max", "manager"))
    sam = await story.sending("Sam", campaign)
    answers = await asyncio.gather(*(user.ends(campaign) for user in (mia, max_, mia, max_)))
    assert [answer.status for answer in answers] == [200] * 4
    assert all(answer.body == answers[0].body for answer in answers)
    assert (await max_.ends(campaign)).body == answers[0].body

    details = await mia.ok("GET", f"/campaigns/{campaign.id}")
    assert (details["state"], details["sending"]) == ("completed", [])
    listed = {
        state: {c["campaign_id"] for c in (await mia.ok("GET", f"/campaigns?state={state}"))["campaigns"]}
        for state in ("current", "completed")
    }
    assert campaign.id in listed["completed"] - listed["current"]
    assert other.id in listed["current"] - listed["completed"]
    assert (await sam.starts(other)).status == 200
    refused = await sam.starts(campaign, take_over=True)
    assert (refused.status, refused.code) == (409, "campaign_ended")
    refused = await sam.call("POST", f"/campaigns/{campaign.id}/sending/next", json={"limit": 5})
    assert (refused.status, refused.code) == (409, "campaign_ended")


async def test_a_stream_of_presses_does_not_hold_up_the_end_and_each_press_is_before_or_after_it(story: Story) -> None:
    people = story.numbers(400)
    [mia, _] = await story.users(("Mia", "manager"), ("Sam", "sender"))
    campaign = await story.campaign(people, scheduled_for=datetime.now(UTC) + timedelta(hours=1))
    sam = await story.sending("Sam", campaign)
    todo = iter(people)
    answers: dict[str, Any] = {}

    async def hand() -> None:
        for number in todo:
            answers[number] = await sam.sends(campaign, number)

    hands = [asyncio.create_task(hand()) for _ in range(8)]
    while len(answers) < 100:
        await asyncio.sleep(0.005)
    ended = await mia.ends(campaign)
    await asyncio.gather(*hands)
    ended_at = moment(ended.body["ended_at"])
    before = [number for number, answer in answers.items() if answer.status == 200]
    after = [number for number, answer in answers.items() if answer.status == 409]
    assert len(before) + len(after) == 400 and after
    assert all(moment(answers[number].body["processed_at"]) < ended_at for number in before)
    assert {answers[number].code for number in after} == {"campaign_ended"}
    await story.settles(campaign, dropped=len(before), unprocessed=len(after))
