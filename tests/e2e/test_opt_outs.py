"""Who has opted out is processed and not sent; of this account, from the moment it was answered."""

import asyncio
from datetime import UTC, datetime, timedelta

from tests.e2e.people import Campaign
from tests.e2e.story import Story, moment, until, until_passed


async def _suppressed(story: Story, campaign: Campaign, number: str, opted_out_at: str | None = None) -> None:
    row = await story.row(campaign, number)
    assert (row["state"], row["delivery"], row["reason_code"]) == ("suppressed", "", "opted_out")
    assert row["reason"] and row["processed_at"] and not row["sent_at"] and not row["accepted_at"]
    assert moment(row["opted_out_at"]) <= datetime.now(UTC)
    if opted_out_at is not None:
        assert moment(row["opted_out_at"]) == moment(opted_out_at)
    assert await story.ledger([number]) == []
    assert await story.texted([number]) == {}


async def test_an_opted_out_recipient_is_processed_and_not_sent(story: Story) -> None:
    number, other = story.numbers(2)
    campaign = await story.campaign([number, other])
    mia = await story.manager()
    made = await mia.call("POST", "/opt-outs", json={"phone": number, "reason": "asked at the door"})
    assert made.status == 201
    repeated = await mia.call("POST", "/opt-outs", json={"phone": number})
    assert (repeated.status, repeated.body["person_id"]) == (200, made.body["person_id"])
    sam = await story.sending("Sam", campaign)
    for one in (number, other):
        assert (await sam.sends(campaign, one)).status == 200
    progress = await story.settles(campaign, suppressed=1, delivered=1)
    assert (progress["processed"], progress["sent"]) == (2, 1)
    await _suppressed(story, campaign, number, made.body["opted_out_at"])
    assert (await sam.sends(campaign, number)).body["state"] == "suppressed"


async def test_a_stop_is_in_force_when_it_is_answered_and_start_lifts_it(story: Story) -> None:
    number, second, third = story.numbers(3)
    first, later = await story.campaign([number, second]), await story.campaign([number, third])
    sam = await story.sending("Sam", first)
    await sam.sends(first, second)
    await story.settles(first, delivered=1, unprocessed=1)
    assert await story.replies(number, first.sender, " stop. ") == 200
    assert (await sam.sends(first, number)).status == 200
    await story.settles(first, suppressed=1, delivered=1)
    await _suppressed(story, first, number)

    mia, ann = await story.users(("Mia", "manager"), ("Ann", "auditor"))
    for user in (mia, ann):
        listed = (await user.ok("GET", "/opt-outs"))["opt_outs"]
        [found] = [one for one in listed if one["phone"] == number]
        assert found["source"] == "reply"
    assert number.encode() in await ann.ok("GET", "/opt-outs/export.csv")
    replies = (await mia.ok("GET", "/replies"))["replies"]
    assert any(number in map(str, reply.values()) for reply in replies)

    assert await story.replies(number, first.sender, "START") == 200
    assert number not in {one["phone"] for one in (await mia.ok("GET", "/opt-outs"))["opt_outs"]}
    await story.sending("Sam", later)
    assert (await sam.sends(later, number)).status == 200
    await story.settles(later, delivered=1, unprocessed=1)
    assert await story.texted([number]) == {number: 1}
    await story.settles(first, suppressed=1, delivered=1)


async def test_a_stop_while_the_message_is_held_is_honoured_at_t(story: Story) -> None:
    number, other = story.numbers(2)
    await story.users(("Mia", "manager"), ("Sam", "sender"))
    t = datetime.now(UTC) + timedelta(seconds=4)
    campaign = await story.campaign([number, other], scheduled_for=t)
    sam = await story.sending("Sam", campaign)
    for one in (number, other):
        assert moment((await sam.sends(campaign, one)).body["due_at"]) == t, "this machine is too slow"
    assert await story.replies(number, campaign.sender, "UNSUBSCRIBE") == 200
    await until_passed(t)
    await story.settles(campaign, suppressed=1, delivered=1)
    await _suppressed(story, campaign, number)


async def test_lifting_an_opt_out_needs_a_reason(story: Story) -> None:
    [number] = story.numbers(1)
    mia = await story.manager()
    person = (await mia.ok("POST", "/opt-outs", json={"phone": number}))["person_id"]
    refused = await mia.call("DELETE", f"/opt-outs/{person}")
    assert (refused.status, refused.code) == (422, "missing_reason")
    assert (await mia.call("DELETE", f"/opt-outs/{person}", json={"reason": "wrote us a letter"})).status < 300
    refused = await mia.call("DELETE", f"/opt-outs/{person}", json={"reason": "wrote us a letter"})
    assert refused.status == 404
    campaign = await story.campaign([number])
    sam = await story.sending("Sam", campaign)
    await sam.sends(campaign, number)
    await story.settles(campaign, delivered=1)


async def test_an_opt_out_is_of_one_account(story: Story) -> None:
    [number] = story.numbers(1)
    campaign = await story.campaign([number])
    stranger = await story.user("Zoe", "manager", account=f"{story.account} next door")
    person = (await stranger.ok("POST", "/opt-outs", json={"phone": number}))["person_id"]
    mia = await story.manager()
    assert number not in {one["phone"] for one in (await mia.ok("GET", "/opt-outs"))["opt_outs"]}
    assert (await mia.call("DELETE", f"/opt-outs/{person}", json={"reason": "not mine"})).status == 404
    sam = await story.sending("Sam", campaign)
    await sam.sends(campaign, number)
    await story.settles(campaign, delivered=1)
    assert await story.texted([number]) == {number: 1}


async def test_a_list_of_opt_outs_is_in_force_when_it_is_answered(story: Story) -> None:
    people = story.numbers(30)
    campaign = await story.campaign(people)
    mia = await story.manager()
    content = "phone\n" + "\n".join(people[:20]) + "\nnot a phone\n"
    got = await mia.ok("POST", "/opt-outs/import", data=content.encode(), headers={"Content-Type": "text/csv"})
    assert (got["added"], got["rejected"]) == (20, 1)
    sam = await story.sending("Sam", campaign)
    await sam.sends_all(campaign, people)
    await story.settles(campaign, suppressed=20, delivered=10)
    assert await story.texted(people) == dict.fromkeys(people[20:], 1)


async def test_a_stop_in_the_middle_of_the_sending_is_honoured_by_everything_after_it(story: Story) -> None:
    people = story.numbers(60)
    campaign = await story.campaign(people)
    sam = await story.sending("Sam", campaign)
    await story.faults(latency_ms=100, throttle_per_s=30)
    await sam.sends_all(campaign, people)
    answered: dict[str, datetime] = {}

    async def stop(number: str) -> None:
        assert await story.replies(number, campaign.sender, "STOP") == 200
        answered[number] = datetime.now(UTC)

    await asyncio.gather(*(stop(number) for number in people[::2]))

    async def over() -> bool:
        progress = await story.progress(campaign)
        return bool(progress["suppressed"] + progress["delivered"] == 60)

    await until(over, "everybody is delivered or suppressed")
    times = {row["phone"]: row for row in await story.report(campaign)}
    sent = await story.texted(people)
    assert max(sent.values()) == 1
    assert set(people[1::2]) <= sent.keys()
    for number, at in answered.items():
        row = times[number]
        assert (row["state"] == "delivered") == (number in sent)
        assert number not in sent or moment(row["sent_at"]) < at
