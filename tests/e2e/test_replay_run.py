"""Read models made anew and put in the place of the live ones: people notice nothing, and nobody is texted."""

import urllib.request

import orjson

from tests.e2e.story import Story


async def test_a_replay_from_the_plan_to_the_promote_and_back_texts_nobody(story: Story) -> None:
    numbers = story.numbers(4)
    campaign = await story.campaign(numbers)
    sam = await story.sending("Sam", campaign)
    for number in numbers[:3]:
        assert (await sam.sends(campaign, number)).status == 200
    await story.settles(campaign, delivered=3, unprocessed=1)
    before = ledger_of(story)
    for command in (["plan"], ["run"], ["diff"], ["promote"], ["run"], ["diff"]):
        done = story.running.handsent("replay", *command)
        assert done.returncode == 0, done.stdout + done.stderr
    await story.settles(campaign, delivered=3, unprocessed=1)
    assert (await sam.sends(campaign, numbers[3])).status == 200
    await story.settles(campaign, delivered=4, unprocessed=0)
    assert len(ledger_of(story)) == len(before) + 1, "the one that was SENT, by a hand"
    for command in (["abort"], ["promote", "--back"]):
        done = story.running.handsent("replay", *command)
        assert done.returncode == 0, done.stdout + done.stderr
    await story.settles(campaign, delivered=4, unprocessed=0)
    assert len(ledger_of(story)) == len(before) + 1
    verdict = story.running.handsent("replay", "verify", "--json")
    assert orjson.loads(verdict.stdout)["equal"], verdict.stdout
    assert story.running.handsent("replay", "abort").returncode == 0
    history = story.running.handsent("replay", "history").stdout
    assert "promote" in history and "caught up" in history


def ledger_of(story: Story) -> list[bytes]:
    """What the carrier was asked, by anybody."""
    with urllib.request.urlopen(f"{story.running.url('CARRIER_PORT')}/simulator/ledger") as answer:
        lines: list[bytes] = answer.read().splitlines()
    return lines
