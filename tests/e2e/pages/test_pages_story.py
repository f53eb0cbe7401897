"""The seed's whole story in a browser, by keyboard alone."""

import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from tests.e2e.pages.conftest import Opens, focused, tab_to, until_seen, until_true
from tests.e2e.people import Campaign
from tests.e2e.story import Story

PEOPLE = 12


def listed(numbers: list[str]) -> str:
    return "phone,first_name,last_name\n" + "".join(f"{number},Ada{n},Byron\n" for n, number in enumerate(numbers))


async def test_a_campaign_from_the_first_press_to_its_end(story: Story, opens: Opens, tmp_path: Path) -> None:
    numbers = story.numbers(PEOPLE)
    campaign = await story.campaign(text="Hello {first_name}!")
    await story.imports(campaign, listed(numbers))
    page = await opens(await story.manager())

    await tab_to(page, f'a.button[href="/campaigns/{campaign.id}/send"]')
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/send")
    await tab_to(page, "main button")
    assert await focused(page) == "Start sending"
    await page.keyboard.press("Enter")
    await page.wait_for_selector("#rows .row")
    assert await page.locator(".row-text").first.inner_text() == "Hello Ada0!"
    await until_true(page, "document.activeElement.matches('.send')")
    for n in range(PEOPLE - 2):
        assert await focused(page) == f"Send to Ada{n} Byron"
        await page.keyboard.press("Enter")
    await until_seen(page, "#mine", str(PEOPLE - 2))
    await until_seen(page, '[data-figure="processed"]', str(PEOPLE - 2))

    await tab_to(page, f'.tabs a[href="/campaigns/{campaign.id}"]')
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"**/{campaign.id}")
    await until_seen(page, 'dd [data-figure="delivered"]', str(PEOPLE - 2))
    await story.settles(campaign, delivered=PEOPLE - 2, unprocessed=2)

    await tab_to(page, '.tabs a[href$="/message"]')
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/message")
    assert "Hello {first_name}!" in await page.inner_text("main")
    await tab_to(page, 'a[href$="report.csv"]')
    async with page.expect_download() as download:
        await page.keyboard.press("Enter")
    await (await download.value).save_as(tmp_path / "report.csv")
    rows = list(csv.DictReader((tmp_path / "report.csv").read_text().splitlines()))
    assert [row["delivery"] for row in rows] == ["delivered"] * (PEOPLE - 2) + [""] * 2
    assert [row["phone"] for row in rows] == numbers

    await tab_to(page, f'.tabs a[href="/campaigns/{campaign.id}"]')
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"**/{campaign.id}")
    await tab_to(page, 'a[href$="/end"]')
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/end")
    assert "not SENT yet" in await page.inner_text("main")
    await tab_to(page, "#confirm")
    await page.keyboard.type("end")
    assert await page.locator("button.danger").is_disabled(), "only END ends"
    await page.keyboard.press("Control+A")
    await page.keyboard.type("END")
    await tab_to(page, "button.danger")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("text=The campaign has ended")
    assert "still texted" in await page.inner_text("main")
    await tab_to(page, 'main a[href="/campaigns/completed"]')
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/completed")
    assert campaign.name in await page.inner_text("main")
    await page.goto(story.running.url() + "/campaigns")
    assert campaign.name not in await page.inner_text("main")
    assert await story.texted(numbers) == dict.fromkeys(numbers[: PEOPLE - 2], 1)


async def test_the_time_comes_while_people_look_on(story: Story, opens: Opens) -> None:
    numbers = story.numbers(4)
    t = (datetime.now(UTC) + timedelta(seconds=25)).astimezone(ZoneInfo("Europe/Madrid"))
    about = {"name": "In Madrid", "text": "Hello.", "scheduled_for": f"{t.isoformat()}[Europe/Madrid]"}
    made = await (await story.manager()).ok("POST", "/campaigns", json=about)
    campaign = Campaign(made["campaign_id"], made["name"], made["sender"])
    await story.imports(campaign, listed(numbers))
    page = await opens(await story.user("Sam"), f"/campaigns/{campaign.id}/send", timezone_id="America/New_York")
    await tab_to(page, "main button")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("#rows .row")
    assert "in " in await page.locator("[data-countdown]").inner_text()
    here = t.astimezone(ZoneInfo("America/New_York"))
    assert f"{here:%H:%M}" in await page.locator(".when time").inner_text()
    assert await page.locator("[data-zone]").inner_text() == f"({t:%-d %b %Y}, {t:%H:%M} in Europe/Madrid)"
    await until_true(page, "document.activeElement.matches('.send')")
    for _ in range(2):
        await page.keyboard.press("Enter")
    await until_seen(page, "#mine", "2")
    assert "goes at" in await page.locator(".row-state").first.inner_text()
    progress = await opens(await story.manager(), f"/campaigns/{campaign.id}")
    await until_seen(progress, 'dd [data-figure="waiting"]', "2")
    assert await story.texted(numbers) == {}
    await until_seen(progress, 'dd [data-figure="delivered"]', "2", deadline_s=60)
    await until_seen(page, "[data-countdown]", "its time has come: each SEND goes at once")
    await page.keyboard.press("Enter")
    await until_seen(progress, 'dd [data-figure="delivered"]', "3")
    await story.settles(campaign, delivered=3, unprocessed=1)
    assert await story.texted(numbers) == dict.fromkeys(numbers[:3], 1)


async def test_a_campaign_is_made_from_a_file_and_its_rejects_can_be_kept(
    story: Story, opens: Opens, tmp_path: Path
) -> None:
    numbers = story.numbers(3)
    (tmp_path / "list.csv").write_text(listed(numbers) + "12,Bad,Row\n")
    page = await opens(await story.manager(), "/campaigns/new")
    await page.get_by_label("Name").fill("From a file")
    await page.get_by_label("Text").fill("“Hi” {first_name}")
    await page.get_by_label("List of recipients (CSV)").set_input_files(tmp_path / "list.csv")
    await page.wait_for_selector("#preview .bubble")
    assert await page.locator("#preview .bubble").first.inner_text() == "“Hi” Ada0"
    assert "make it dearer" in await page.inner_text("#cost")
    await page.get_by_role("button", name="Create campaign").click()
    await page.wait_for_selector("#outcome .note")
    assert "3 added, 0 were there already, 1 rejected" in await page.inner_text("#outcome")
    async with page.expect_download() as download:
        await page.get_by_role("link", name="Download the 1 rejects").click()
    await (await download.value).save_as(tmp_path / "rejects.csv")
    assert (tmp_path / "rejects.csv").read_text().splitlines()[1].startswith('"5","too_short"')
    await page.get_by_role("link", name="Go to From a file").click()
    await until_seen(page, 'dd [data-figure="recipients"]', "3")


async def test_opt_outs_are_found_added_and_lifted_with_a_reason(story: Story, opens: Opens) -> None:
    number = story.number()
    await (await story.manager()).ok("POST", "/opt-outs", json={"phone": story.number()})
    page = await opens(await story.manager(), "/opt-outs")
    await page.get_by_text("Add somebody").click()
    await page.get_by_label("Number", exact=True).fill(number)
    await page.get_by_label("Why", exact=True).fill("asked on the phone")
    await page.get_by_role("button", name="Add", exact=True).click()
    await page.wait_for_selector(f"tbody >> text={number}")
    await page.get_by_label("Search by number").fill(number)
    await page.keyboard.press("Enter")
    await page.wait_for_selector("tbody >> text=asked on the phone")
    assert await page.locator("tbody tr").count() == 1
    await page.get_by_role("button", name=f"Remove {number}").click()
    await page.get_by_label("Why (kept as evidence)").fill("wrote to us")
    await page.get_by_role("button", name="Remove the opt-out").click()
    await page.wait_for_selector("text=has not opted out")


async def test_the_list_tells_by_itself_who_sends_and_how_far_they_are(story: Story, opens: Opens) -> None:
    numbers = story.numbers(2)
    campaign = await story.campaign(numbers)
    page = await opens(await story.manager())
    card = f'[data-campaign="{campaign.id}"]'
    assert await page.locator(f"{card} [data-senders]").inner_text() == "Nobody is sending it now."
    tom = await story.sending("Tom", campaign)
    await until_seen(page, f"{card} [data-senders]", "Sending now: Tom")
    await tom.sends(campaign, numbers[0])
    await until_seen(page, f'{card} [data-figure="processed"]', "1")
    await until_seen(page, f'{card} [data-figure="delivered"]', "1")
    await (await story.manager()).ok("POST", f"/campaigns/{campaign.id}/end", json={"confirm": "END"})
    await page.wait_for_selector(card, state="detached")


async def test_where_streams_are_blocked_the_figures_are_asked_for(story: Story, opens: Opens) -> None:
    numbers = story.numbers(3)
    campaign = await story.campaign(numbers)
    page = await opens(await story.manager())
    await page.route("**/progress/stream", lambda route: route.abort())
    await page.goto(f"{story.running.url()}/campaigns/{campaign.id}")
    sam = await story.sending("Sam", campaign)
    for number in numbers:
        await sam.sends(campaign, number)
    await until_seen(page, 'dd [data-figure="delivered"]', "3")
