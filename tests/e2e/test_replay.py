"""The log, folded once more, gives the tables people read from; also of those who were erased."""

import orjson

from tests.e2e.story import Story


async def test_the_read_models_are_what_the_log_says_after_a_person_was_erased(story: Story) -> None:
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
    said = story.running.handsent("replay", "verify")
    assert (said.returncode, "the tables are what the log says" in said.stdout) == (0, True), said.stdout
