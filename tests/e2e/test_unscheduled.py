"""A campaign without a time: SEND leaves at once."""

from datetime import UTC, datetime, timedelta

from tests.e2e.people import Campaign
from tests.e2e.story import COLUMNS, Story, moment

LIST = """\
Mobile Phone,First Name,LAST_NAME,Town,Notes
{ada},Ada,Lovelace,London,=1+1
{ben},Ben,,Paris,"two
lines"
{eve},Eve,Nobody,Rome,
"""
AT_ONCE = timedelta(seconds=5)


async def _campaign(story: Story, people: list[str]) -> Campaign:
    campaign = await story.campaign(text="Hi {first_name} from {town}, {{yes}}")
    ada, ben, eve = people
    got = await story.imports(campaign, LIST.format(ada=ada, ben=ben, eve=eve))
    assert got == {"added": 3, "duplicates": 0, "rejected": 0, "rejects": []}
    return campaign


async def test_a_send_leaves_at_once_and_is_delivered(story: Story) -> None:
    people = story.numbers(3)
    ada, ben, eve = people
    campaign = await _campaign(story, people)
    sam = await story.sending("Sam", campaign)
    rows = await sam.rows(campaign)
    assert [(row["phone"], row["text"]) for row in rows] == [
        (ada, "Hi Ada from London, {yes}"),
        (ben, "Hi Ben from Paris, {yes}"),
        (eve, "Hi Eve from Rome, {yes}"),
    ]
    answer = await sam.sends(campaign, ada)
    assert answer.status == 200
    assert answer.body.keys() == {"recipient_id", "state", "processed_at", "processed_by", "due_at"}
    assert (answer.body["recipient_id"], answer.body["state"]) == (campaign.rid(ada), "waiting")
    assert answer.body["due_at"] == answer.body["processed_at"]
    assert (await sam.sends(campaign, ben)).status == 200

    progress = await story.settles(campaign, delivered=2, unprocessed=1)
    assert (progress["recipients"], progress["processed"], progress["sent"]) == (3, 2, 2)
    assert await story.texted(people) == {ada: 1, ben: 1}
    for line in await story.ledger(people):
        assert line["from"] == campaign.sender
        assert line["body"] == next(row["text"] for row in rows if row["phone"] == line["to"])
        assert moment(line["received_at"]) - moment(answer.body["processed_at"]) < AT_ONCE


async def test_the_report_tells_all_columns_of_everybody(story: Story) -> None:
    people = story.numbers(3)
    ada, _, eve = people
    campaign = await _campaign(story, people)
    sam = await story.sending("Sam", campaign)
    answer = (await sam.sends(campaign, ada)).body

    await story.settles(campaign, delivered=1, unprocessed=2)
    rows = await story.report(campaign)
    assert [row["phone"] for row in rows] == people
    first, second, third = rows
    [line] = await story.ledger([ada])
    assert list(first) == [*COLUMNS, "Town", "Notes"]
    assert (first["first_name"], first["last_name"], first["Town"]) == ("Ada", "Lovelace", "London")
    assert (first["Notes"], second["Notes"], third["Notes"]) == ("'=1+1", "two\nlines", "")
    assert (first["state"], first["delivery"]) == ("delivered", "delivered")
    assert (first["reason_code"], first["reason"], first["advice"], first["opted_out_at"]) == ("", "", "", "")
    assert moment(first["processed_at"]) == moment(answer["processed_at"])
    assert moment(first["due_at"]) == moment(first["released_at"]) == moment(answer["due_at"])
    assert first["processed_by"] == answer["processed_by"]
    assert moment(first["due_at"]) <= moment(first["sent_at"]) <= moment(line["received_at"])
    assert moment(first["sent_at"]) <= moment(first["accepted_at"])
    assert moment(first["delivered_at"]) <= datetime.now(UTC)
    assert (first["carrier_message_id"], first["segments"]) == (line["message_id"], "1")
    assert {name for name, cell in third.items() if cell} == {
        "recipient_id", "phone", "first_name", "last_name", "state", "Town",
    }  # fmt: skip
    assert (third["phone"], third["state"]) == (eve, "unprocessed")
