"""Several sender numbers: a person keeps theirs; and a campaign that is only useful until some time."""

import asyncio
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.e2e.people import Campaign, User
from tests.e2e.story import Story, moment, until

COUNT = 1000


_lines = iter(random.sample(range(1000, 9999), 100))


def a_number() -> str:
    """A sender nobody else has."""
    return f"+1844556{next(_lines)}"


async def send_everybody(user: User, campaign: Campaign, numbers: list[str]) -> None:
    for at in range(0, len(numbers), 500):
        results = await user.sends_all(campaign, numbers[at : at + 500])
        assert {result["status"] for result in results} == {200}


async def from_where(story: Story, numbers: list[str], text: str) -> dict[str, str]:
    """Whom the carrier was asked to text, once each, and from which number."""
    lines = [line for line in await story.ledger(numbers) if line["body"] == text]
    assert len({line["to"] for line in lines}) == len(lines)
    return {line["to"]: line["from"] for line in lines}


async def test_a_person_keeps_the_sender_they_saw_first(story: Story) -> None:
    manager, numbers, third = await story.manager(), story.numbers(COUNT), a_number()
    own = (await manager.ok("GET", "/senders"))["senders"][0]["number"]
    added = story.running.handsent("sender", "add", second := a_number(), "--account", story.account)
    assert (added.returncode, added.stdout) == (0, f"{second}\n"), added.stderr
    listed = story.running.handsent("sender", "list", "--account", story.account)
    assert listed.stdout.splitlines() == [f"{own}\tdefault", second]

    first = await story.campaign(numbers, "First.", senders=[own, second])
    await send_everybody(await story.sending("Sam", first), first, numbers)
    await story.settles(first, 90, delivered=COUNT)
    seen = await from_where(story, numbers, "First.")
    shares = Counter(seen.values())
    assert set(shares) == {own, second} and min(shares.values()) >= COUNT * 0.4

    later = await story.campaign(numbers, "Second.", senders=[third, second, own])
    await send_everybody(await story.sending("Sam", later), later, numbers)
    await story.settles(later, 90, delivered=COUNT)
    assert await from_where(story, numbers, "Second.") == seen

    # A reply goes to the number they know, and is the account's.
    person = next(number for number, sender in seen.items() if sender == second)
    assert await story.replies(person, second, "STOP") == 200
    opted_out = await manager.ok("GET", "/opt-outs", params={"limit": "500"})
    assert person in [one["phone"] for one in opted_out["opt_outs"]]
    proof = story.running.handsent("proof", later.rid(person), "--json")
    assert proof.returncode == 0, proof.stdout + proof.stderr


async def test_two_campaigns_sent_at_once_to_the_same_people_use_one_number_each(story: Story) -> None:
    numbers, senders = story.numbers(200), [a_number(), a_number(), a_number()]
    one = await story.campaign(numbers, "One.", senders=senders)
    two = await story.campaign(numbers, "Two.", senders=senders[::-1])
    sam, sue = await story.sending("Sam", one), await story.sending("Sue", two)
    await asyncio.gather(send_everybody(sam, one, numbers), send_everybody(sue, two, numbers))
    await asyncio.gather(story.settles(one, delivered=200), story.settles(two, delivered=200))
    assert await from_where(story, numbers, "One.") == await from_where(story, numbers, "Two.")


async def test_nobody_is_texted_past_the_latest_useful_time(story: Story) -> None:
    numbers, useful_until = story.numbers(300), datetime.now(UTC) + timedelta(seconds=8)
    campaign = await story.campaign(numbers, "Vote today.", useful_until=useful_until.isoformat())
    sam = await story.sending("Sam", campaign)
    shown = await sam.ok("POST", f"/campaigns/{campaign.id}/sending/next", json={"limit": 1})
    assert moment(shown["useful_until"]) == useful_until and len(shown["recipients"]) == 1
    await story.faults(throttle_per_s=10)
    await send_everybody(sam, campaign, numbers)
    progress: dict[str, Any] = {}

    async def over() -> bool:
        progress.update(await story.progress(campaign))
        return bool(progress["delivered"] + progress["suppressed"] == len(numbers))

    await until(over, lambda: f"{progress}", 60)
    lines = await story.ledger(numbers)
    assert max(moment(line["received_at"]) for line in lines) < useful_until + timedelta(milliseconds=200)
    assert progress["delivered"] == sum(line["accepted"] for line in lines) >= 10
    assert progress["suppressed"] == len(numbers) - progress["delivered"] >= 100
    late = [row for row in await story.report(campaign) if row["state"] == "suppressed"]
    assert {(row["reason_code"], row["delivery"], row["sent_at"]) for row in late} == {("too_late", "", "")}
    assert all(row["reason"] and row["advice"] for row in late)
    told = await story.timeline(campaign, late[0]["phone"])
    [suppressed] = [event for event in told if event["event"] == "MessageSuppressed"]
    assert suppressed["reason_code"] == "too_late" and moment(suppressed["useful_until"]) == useful_until
    assert moment(suppressed["occurred_at"]) > useful_until
    await story.faults()
    after = (await sam.sends(campaign, numbers[0])).body  # a repeat changes nothing
    assert after["state"] in ("delivered", "suppressed")


async def test_a_send_past_the_latest_useful_time_counts_and_is_suppressed(story: Story) -> None:
    [number] = story.numbers(1)
    useful_until = datetime.now(UTC) + timedelta(seconds=3)
    campaign = await story.campaign([number], useful_until=useful_until.isoformat())
    sam = await story.sending("Sam", campaign)

    async def passed() -> bool:
        return datetime.now(UTC) > useful_until

    await until(passed, "the time passes")
    assert (await sam.sends(campaign, number)).status == 200
    await story.settles(campaign, suppressed=1)
    assert (await story.texted([number]))[number] == 0
    proof = story.running.handsent("proof", campaign.rid(number), "--json")
    assert proof.returncode == 0, proof.stdout + proof.stderr


async def test_the_tables_are_what_the_log_says_after_all_this(story: Story) -> None:
    found = await asyncio.to_thread(story.running.handsent, "replay", "verify")
    assert found.returncode == 0, found.stdout + found.stderr
