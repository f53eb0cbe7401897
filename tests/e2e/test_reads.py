"""Beyond Progress, at the one address: figures over time, by sender, of the account, side by side; reports in parts."""

import io
from typing import Any

from openpyxl import load_workbook

from tests.e2e.story import LEAVES, Story, adds_up, until


async def test_all_figures_tell_the_same(story: Story) -> None:
    people, others = story.numbers(6), story.numbers(3)
    campaign, other = await story.campaign(people), await story.campaign(others)
    sam, sue = await story.sending("Sam", campaign), await story.sending("Sue", other)
    await sam.sends_all(campaign, people[:4])
    await sue.sends_all(other, others)
    progress = await story.settles(campaign, delivered=4, unprocessed=2)
    await story.settles(other, delivered=3)
    mia = await story.manager()
    assert (await mia.ends(other)).status == 200

    history = await mia.ok("GET", f"/campaigns/{campaign.id}/progress/history")
    assert all(adds_up({**point, "failed_by_reason": {"any": point["failed"]}}) for point in history["points"])
    assert {leaf: history["points"][-1][leaf] for leaf in LEAVES} == {leaf: progress[leaf] for leaf in LEAVES}

    [sender] = (await mia.ok("GET", f"/campaigns/{campaign.id}/senders"))["senders"]
    pressed = sorted(row["processed_at"] for row in await story.report(campaign) if row["processed_at"])
    assert sender["processed"] == 4 and sender["processed_by"] == (await story.row(campaign, people[0]))["processed_by"]
    assert [sender["first_at"][:19], sender["last_at"][:19]] == [pressed[0][:19], pressed[-1][:19]]

    account: dict[str, Any] = {}

    async def ended() -> bool:
        account.update(await mia.ok("GET", "/account/progress"))
        return bool(account["completed"]["campaigns"] == 1)

    await until(ended, "the account has a completed campaign")
    assert [account[part]["campaigns"] for part in ("current", "completed", "all")] == [1, 1, 2]
    assert (account["completed"]["delivered"], account["all"]["delivered"], account["all"]["recipients"]) == (3, 7, 9)

    compared = (await mia.ok("GET", f"/campaigns/compare?ids={other.id},{campaign.id}"))["campaigns"]
    assert [one["campaign_id"] for one in compared] == [other.id, campaign.id]
    assert [one["shares"]["processed"] for one in compared] == [1.0, 0.6667]
    assert [one["shares"]["delivered"] for one in compared] == [1.0, 1.0]


async def test_a_report_is_continued_and_is_a_workbook_too(story: Story) -> None:
    people = story.numbers(40)
    campaign = await story.campaign(people)
    mia = await story.manager()
    await story.settles(campaign, unprocessed=40)
    url = f"{mia.base}/api/v1/campaigns/{campaign.id}/report"
    headers = {"Authorization": f"Bearer {mia.token}"}
    async with mia.http.get(f"{url}.csv", headers=headers) as answer:
        whole, first = await answer.read(), answer.headers
    assert first["Handsent-As-Of"] and first["Handsent-Offsets"]
    sam = await story.sending("Sam", campaign)
    await sam.sends(campaign, people[0])
    await story.settles(campaign, delivered=1, unprocessed=39)
    again = headers | {"Range": "bytes=500-", "If-Range": first["ETag"]}
    async with mia.http.get(f"{url}.csv", headers=again) as answer:
        assert (answer.status, answer.headers["Handsent-As-Of"]) == (206, first["Handsent-As-Of"])
        assert whole[:500] + await answer.read() == whole
    async with mia.http.get(f"{url}.xlsx", headers=headers) as answer:
        book = load_workbook(io.BytesIO(await answer.read()), read_only=True)
    _, *rows = book["recipients"].iter_rows(values_only=True)
    assert [row[1] for row in rows] == people and rows[0][4] == "delivered"
