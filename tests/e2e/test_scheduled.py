"""A campaign with a time T: SEND before T leaves at T, SEND after T at once, and without SEND nothing ever leaves."""

import asyncio
from datetime import UTC, datetime, timedelta

from tests.e2e.story import Story, moment, until, until_passed

LEAD = timedelta(seconds=7)
SOON = timedelta(seconds=5)


async def test_send_before_t_leaves_at_t_and_not_before(story: Story) -> None:
    people = story.numbers(13)
    early, never, late = people[:10], people[10:12], people[12]
    await story.users(("Mia", "manager"), ("Sam", "sender"))
    t = datetime.now(UTC) + LEAD
    campaign = await story.campaign(people, scheduled_for=t)
    sam = await story.sending("Sam", campaign)
    answers = await asyncio.gather(*(sam.sends(campaign, number) for number in early))
    for answer in answers:
        assert answer.status == 200
        assert moment(answer.body["due_at"]) == t > moment(answer.body["processed_at"]), "this machine is too slow"

    while datetime.now(UTC) < t - timedelta(seconds=0.3):
        progress = await story.progress(campaign)
        assert progress["sent"] == 0
        assert progress["waits_for"] == ("time" if progress["waiting"] else None)
        assert await story.ledger(people) == []
        await asyncio.sleep(0.2)
    assert (progress["processed"], progress["waiting"], progress["unprocessed"]) == (10, 10, 3)

    await until_passed(t)
    assert (await story.settles(campaign, delivered=10, unprocessed=3))["waits_for"] is None
    for line in await story.ledger(people):
        assert t <= moment(line["received_at"]) <= t + SOON

    answer = await sam.sends(campaign, late)
    assert answer.body["due_at"] == answer.body["processed_at"]
    await story.settles(campaign, delivered=11, unprocessed=2)
    [line] = await story.ledger([late])
    assert moment(line["received_at"]) - moment(answer.body["due_at"]) < SOON
    assert await story.texted(people) == dict.fromkeys([*early, late], 1)
    assert await story.texted(never) == {}

    report = {row["phone"]: row for row in await story.report(campaign)}
    assert all(moment(report[number]["released_at"]) == moment(report[number]["due_at"]) == t for number in early)
    assert all(not report[number]["due_at"] and not report[number]["sent_at"] for number in never)

    [mia] = await story.users(("Mia", "manager"))
    assert (await mia.ends(campaign)).status == 200
    assert (await mia.ok("GET", f"/campaigns/{campaign.id}"))["state"] == "completed"
    await story.settles(campaign, delivered=11, unprocessed=2)


async def test_what_was_sent_before_t_is_told_by_end_preview(story: Story) -> None:
    people = story.numbers(4)
    campaign = await story.campaign(people, scheduled_for=datetime.now(UTC) + timedelta(hours=1))
    sam = await story.sending("Sam", campaign)
    for number in people[:3]:
        await sam.sends(campaign, number)
    [mia] = await story.users(("Mia", "manager"))

    async def known() -> bool:
        return bool((await story.progress(campaign))["waiting"] == 3)

    await until(known, "three wait")
    assert (await story.progress(campaign))["waits_for"] == "time"
    preview = await mia.ok("GET", f"/campaigns/{campaign.id}/end-preview")
    assert preview == {"unprocessed": 1, "would_drop": 3, "still_going": 0, "already_sent": 0}
