"""What is a person's leaves nothing readable behind; who is erased is texted no more; a click can be proven."""

import asyncio
import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.e2e.secrets_sought import Sought, everything
from tests.e2e.story import Story, until

PEOPLE = 10_000
PRESSED_AT_ONCE = 500
WORDS = ("Quokkamarch", "Wombatville", "Numbatword", "Potorooreason", "Bilbyname")
CHROME = "Mozilla/5.0 (X11; Linux x86_64) handsent-tests"


@pytest.mark.parametrize("written", ["+12025550123", "(1)2025550123", "2025550123x", "to=%2B12025550123"])
def test_the_search_finds_what_it_seeks_however_it_is_written(written: str) -> None:
    sought = Sought(["+12025550123"], ["Quokka"])
    plain = f"some bytes {written} and more".encode()
    for hidden in (plain, plain.hex().encode(), base64.b64encode(plain), b"x" + base64.b64encode(b"y" + plain)):
        assert sought.found_in(hidden) == {"2025550123"}
    assert sought.found_in(b"a Quokka") == {"Quokka"} and not sought.found_in(b"202555012 3 quokk")


async def test_after_the_main_job_no_number_and_no_word_can_be_read_anywhere(story: Story) -> None:
    numbers = _numbers(story, PEOPLE)
    campaign = await story.campaign(text="Quokkamarch on Tuesday, {first_name}: shall we see you in {town}?")
    rows = "".join(f"{number},Bilbyname{n},Wombatville {n}\n" for n, number in enumerate(numbers))
    await story.imports(campaign, f"phone,first_name,town\n{rows}+1202,bad row,Wombatville\n")
    mia = await story.manager()
    await mia.ok("POST", "/opt-outs", json={"phone": numbers[0], "reason": "Potorooreason"})
    await mia.ok("POST", "/opt-outs/import", data=f"phone,reason\n{numbers[1]},Potorooreason\nbad,Potorooreason\n",
                 headers={"Content-Type": "text/csv"})  # fmt: skip
    sam = await story.sending("Sam", campaign)
    for at in range(0, PEOPLE, PRESSED_AT_ONCE):
        results = await sam.sends_all(campaign, numbers[at : at + PRESSED_AT_ONCE])
        assert all(result["status"] == 200 for result in results)
    assert await story.replies(numbers[2], campaign.sender, "STOP") == 200
    assert await story.replies(numbers[3], campaign.sender, "Numbatword, who is this?") == 200
    await _settled(story, campaign)
    report = await story.report(campaign)
    assert {row["town"] for row in report} == {f"Wombatville {n}" for n in range(PEOPLE)}, "whoever may read it can"
    places = 0
    sought = Sought(numbers, WORDS)
    async for where, data in everything(story.running):
        places += 1
        found = await asyncio.to_thread(sought.found_in, data)
        assert not found, f"{where} tells {sorted(found)[:5]}"
    assert places > 80


async def _settled(story: Story, campaign: Any) -> None:
    async def done() -> bool:
        progress = await story.progress(campaign)
        return bool(progress["processed"] == PEOPLE and not progress["waiting"] and not progress["awaiting"])

    await until(done, "the main job is done", deadline_s=120)


def _numbers(story: Story, count: int) -> list[str]:
    """Healthy people, streets at a time."""
    streets = (story.numbers(500) for _ in range(count // 500))
    return [number for street in streets for number in street]


async def test_a_person_erased_while_a_campaign_waits_is_not_texted_and_everything_adds_up(story: Story) -> None:
    erased, out, *others = story.numbers(12)
    campaign = await story.campaign(
        [erased, out, *others], text="Hello, see you.", scheduled_for=datetime.now(UTC) + timedelta(seconds=12)
    )
    sam = await story.sending("Sam", campaign)
    for number in (erased, out, *others):
        assert (await sam.sends(campaign, number)).status == 200
    assert await story.replies(out, campaign.sender, "STOP") == 200
    await story.settles(campaign, waiting=12)
    for number in (erased, out):
        done = await asyncio.to_thread(
            story.running.handsent, "person", "erase", number, "--reason", "a letter", "--account", story.account
        )
        assert done.returncode == 0, done.stderr
    await story.settles(campaign, suppressed=2, delivered=10)
    assert await story.texted([erased, out]) == {}
    rows = {row["recipient_id"]: row for row in await story.report(campaign)}
    assert [(rows[campaign.rid(n)]["phone"], rows[campaign.rid(n)]["reason_code"]) for n in (erased, out)] == [
        ("", "person_erased"), ("", "opted_out"),
    ]  # fmt: skip
    told = await story.timeline(campaign, erased)
    assert [event["event"] for event in told if event["event"] in ("PersonErased", "MessageSuppressed")] == [
        "PersonErased", "MessageSuppressed",
    ]  # fmt: skip
    theirs = [event for event in told if event["event"] != "CampaignCreated"]  # whose text is everybody's
    assert {event.get(name) for event in theirs for name in ("number", "text", "columns")} == {None}

    again = await story.campaign([erased, out], text="Hello again.")
    sam = await story.sending("Sam", again)
    for number in (erased, out):
        assert (await sam.sends(again, number)).status == 200
    await story.settles(again, delivered=1, suppressed=1)
    assert (await story.row(again, out))["reason_code"] == "opted_out"
    assert await story.texted([erased, out]) == {erased: 1}
    verified = await asyncio.to_thread(story.running.handsent, "replay", "verify", within_s=120)
    assert verified.returncode == 0, verified.stdout


async def test_everything_held_of_a_person_is_given_to_them(story: Story) -> None:
    number = story.number()
    campaign = await story.campaign([number], text="Hello, see you at the fair.")
    sam = await story.sending("Sam", campaign)
    await sam.sends(campaign, number)
    await story.settles(campaign, delivered=1)
    assert await story.replies(number, campaign.sender, "see you") == 200
    done = await asyncio.to_thread(story.running.handsent, "person", "export", number, "--account", story.account)
    held = json.loads(done.stdout)
    assert held["messages"][0]["text"] == "Hello, see you at the fair." and held["replies"][0]["body"] == "see you"
    [recipient] = held["recipients"]
    assert (recipient["phone"], recipient["state"]) == (number, "delivered")
    assert {"RecipientAdded", "RecipientProcessed", "MessageDelivered"} <= {e["event"] for e in recipient["events"]}
    stranger = await asyncio.to_thread(
        story.running.handsent, "person", "export", story.number(), "--account", story.account
    )
    assert (stranger.returncode, stranger.stdout) == (1, "") and "no such person" in stranger.stderr


async def test_a_click_is_proven_to_the_carrier(story: Story) -> None:
    number, idle = story.numbers(2)
    campaign = await story.campaign([number, idle], text="Hello!")
    sam = await story.sending("Sam", campaign)
    path = f"/campaigns/{campaign.id}/recipients/{campaign.rid(number)}/send"
    await sam.ok("POST", path, headers={"User-Agent": CHROME})
    await story.settles(campaign, delivered=1, unprocessed=1)
    done = await asyncio.to_thread(story.running.handsent, "proof", campaign.rid(number), "--json")
    proof = json.loads(done.stdout)
    assert (done.returncode, proof["holds"]) == (0, True), done.stdout
    assert (proof["user"], proof["account"], proof["client"]) == ("Sam", story.account, CHROME)
    assert proof["signed_in_with"] == "token handsent user add" and number not in done.stdout
    assert len(proof["checks"]) >= 12 and all(check["holds"] for check in proof["checks"])
    shown = await asyncio.to_thread(story.running.handsent, "proof", campaign.rid(number), "--pii")
    assert number in shown.stdout and "the chain holds" in shown.stdout
    unpressed = await asyncio.to_thread(story.running.handsent, "proof", campaign.rid(idle))
    assert unpressed.returncode == 1 and "nobody has pressed SEND" in unpressed.stderr


async def test_the_vault_key_is_changed_while_everything_runs(story: Story) -> None:
    """The services know the new key and the old one; then the old one is needed no more."""
    number, later = story.numbers(2)
    campaign = await story.campaign([number, later])
    old = json.loads((story.running.home / "secrets.json").read_text())["VAULT_KEY"]
    running, new = story.running, "a new vault key that is long enough to be one"
    running.settings |= {"VAULT_KEY": new, "VAULT_KEYS_OLD": old}
    await asyncio.to_thread(running.stop)
    running.start()
    sam = await story.sending("Sam", campaign)
    await sam.sends(campaign, number)
    done = await asyncio.to_thread(running.handsent, "vault", "rotate")
    assert done.returncode == 0 and int(done.stdout.split()[0]) > 0, done.stderr
    running.settings["VAULT_KEYS_OLD"] = ""
    await asyncio.to_thread(running.stop)
    running.start()
    await sam.sends(campaign, later)
    await story.settles(campaign, delivered=2)
    again = await asyncio.to_thread(running.handsent, "vault", "rotate")
    assert again.stdout.startswith("0 keys")
