"""The log, folded once more, gives the tables of every service; also of those who were erased."""

import asyncio

import orjson

from tests.e2e.running import SERVICES
from tests.e2e.story import Story


async def test_the_tables_are_what_the_log_says_after_a_person_was_erased(story: Story) -> None:
    numbers = story.numbers(3)
    campaign = await story.campaign([*numbers, story.number("0001")])
    sam = await story.sending("Sam", campaign)
    for number in numbers[:2]:
        assert (await sam.sends(campaign, number)).status == 200
    await story.settles(campaign, delivered=2, unprocessed=2)
    for number in numbers[1:]:
        done = story.running.handsent("person", "erase", number, "--reason", "their wish", "--account", story.account)
        assert done.returncode == 0, done.stderr
    found = story.running.handsent("replay", "verify", "--json")
    assert found.returncode == 0, found.stdout + found.stderr
    verdict = orjson.loads(found.stdout)
    assert verdict["equal"] is True and verdict["events"] > 0
    assert verdict["tables"]["recipients"]["rows"] >= 4
    assert {name for name, about in verdict["services"].items() if about["equal"] and about["events"]} == set(SERVICES)
    assert verdict["services"]["dispatcher"]["tables"]["erased"]["rows"] >= 2
    said = story.running.handsent("replay", "verify", "--service", "dispatcher", "--service", "scheduler")
    assert (said.returncode, "the tables are what the log says" in said.stdout) == (0, True), said.stdout
    assert "dispatcher\n" in said.stdout and "projections\n" not in said.stdout


async def test_they_are_while_everything_is_at_work(story: Story) -> None:
    numbers = story.numbers(300)
    campaign = await story.campaign(numbers)
    sam = await story.sending("Sam", campaign)

    async def press() -> None:
        for number in numbers:
            assert (await sam.sends(campaign, number)).status == 200
            await asyncio.sleep(0.02)

    pressing = asyncio.create_task(press())
    while not pressing.done():
        found = await asyncio.to_thread(story.running.handsent, "replay", "verify")
        assert found.returncode == 0, found.stdout + found.stderr
    await pressing
    await story.settles(campaign, delivered=300)
