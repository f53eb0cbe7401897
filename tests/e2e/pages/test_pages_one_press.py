"""One press, one text, whatever hands, browsers, networks and servers do."""

import asyncio

from playwright.async_api import Page

from tests.e2e.pages.conftest import Opens, until_seen, until_true
from tests.e2e.people import Campaign, User
from tests.e2e.story import Story, until


async def sending(story: Story, opens: Opens, campaign: Campaign, name: str = "Sam") -> tuple[User, Page]:
    """The page of a user who sends the campaign, the first row marked."""
    user = await story.sending(name, campaign)
    page = await opens(user, f"/campaigns/{campaign.id}/send")
    await ready(page)
    return user, page


async def ready(page: Page) -> None:
    await page.wait_for_selector("#rows .row:not(.pressed)")
    await until_true(page, "document.activeElement.matches('.send')")


async def test_a_held_enter_sends_one_row(story: Story, opens: Opens) -> None:
    numbers = story.numbers(20)
    campaign = await story.campaign(numbers)
    _, page = await sending(story, opens, campaign)
    for _ in range(150):  # five seconds of a key that repeats
        await page.keyboard.down("Enter")
        await asyncio.sleep(0.03)
    await page.keyboard.up("Enter")
    await until_seen(page, "#mine", "1")
    await story.settles(campaign, delivered=1, unprocessed=19)
    assert await story.texted(numbers) == {numbers[0]: 1}


async def test_double_clicks_send_one_row_each(story: Story, opens: Opens) -> None:
    numbers = story.numbers(10)
    campaign = await story.campaign(numbers)
    _, page = await sending(story, opens, campaign)
    for n in range(3):
        await page.locator(".row:not(.pressed) .send").first.dblclick()
        await until_seen(page, "#mine", str(n + 1))
    await story.settles(campaign, delivered=3, unprocessed=7)
    assert await story.texted(numbers) == dict.fromkeys(numbers[:3], 1)


async def test_two_tabs_of_one_user_and_two_users_text_each_person_once(story: Story, opens: Opens) -> None:
    numbers = story.numbers(60)
    campaign = await story.campaign(numbers)
    _, first = await sending(story, opens, campaign, "Sam")
    second = await first.context.new_page()
    await second.goto(first.url)
    await ready(second)
    _, other = await sending(story, opens, campaign, "Tom")

    async def apart() -> bool:
        """Who was first held the whole list, and gives its end to who came to help."""
        rows = "rows => rows.map(row => row.dataset.row)"
        shown = [set(await page.eval_on_selector_all("[data-row]", rows)) for page in (first, other)]
        return bool(shown[0] and shown[1] and shown[0].isdisjoint(shown[1]))

    await until(apart, "two users have different rows")

    async def work(page: Page) -> None:
        for _ in range(70):
            await page.evaluate("document.querySelector('.row:not(.pressed) .send')?.click()")
            await asyncio.sleep(0.02)

    await asyncio.gather(*map(work, (first, second, other)))
    for page in (first, second, other):
        await page.wait_for_selector("#done", state="visible")
    await story.settles(campaign, delivered=60)
    assert await story.texted(numbers) == dict.fromkeys(numbers, 1)


async def test_presses_made_without_a_connection_survive_a_reload_and_are_sent_once(story: Story, opens: Opens) -> None:
    numbers = story.numbers(80)
    campaign = await story.campaign(numbers)
    _, page = await sending(story, opens, campaign)
    await until_true(page, "document.querySelectorAll('.row').length >= 60")
    await page.context.set_offline(True)
    for _ in range(50):
        await page.keyboard.press("Enter")
    await page.wait_for_selector("#connection:not([hidden])")
    assert "kept in this browser" in await page.inner_text("#connection")
    await asyncio.sleep(10)
    assert await story.texted(numbers) == {}
    await page.context.set_offline(False)
    await page.reload()
    await ready(page)
    await story.settles(campaign, delivered=50, unprocessed=30)
    assert await story.texted(numbers) == dict.fromkeys(numbers[:50], 1)
    kept = await page.evaluate(
        """() => new Promise(done => { const asked = indexedDB.open("handsent", 1);
           asked.onsuccess = () => { const all = asked.result.transaction("presses").objectStore("presses").getAll();
             all.onsuccess = () => done(all.result.length); }; })"""
    )
    assert kept == 0


async def test_the_server_starts_again_amid_the_presses(story: Story, opens: Opens) -> None:
    numbers = story.numbers(60)
    campaign = await story.campaign(numbers)
    _, page = await sending(story, opens, campaign)
    stopping = None
    for n in range(60):
        if n == 15:
            stopping = asyncio.create_task(asyncio.to_thread(story.running.stop))
        if n == 45 and stopping is not None:
            assert await stopping == 0
            story.running.start()
        await page.keyboard.press("Enter")
        await asyncio.sleep(0.1)
    await until_true(page, "!document.querySelector('.row:not(.confirmed)')", deadline_s=60)
    await story.settles(campaign, deadline_s=60, delivered=60)
    assert await story.texted(numbers) == dict.fromkeys(numbers, 1)


async def test_a_press_is_its_user_s_and_nobody_else_s_is_sent(story: Story, opens: Opens) -> None:
    numbers = story.numbers(6)
    campaign = await story.campaign(numbers)
    _, page = await sending(story, opens, campaign, "Sam")
    await page.route("**/send", lambda route: route.abort() if route.request.method == "POST" else route.continue_())
    await page.keyboard.press("Enter")
    await page.wait_for_selector(".row.kept")
    await page.unroute("**/send")
    await page.context.clear_cookies()
    tom = await story.sending("Tom", campaign)
    await page.goto(story.running.url() + "/sign-in")
    await page.fill("#token", tom.token)
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/campaigns")
    await page.goto(f"{story.running.url()}/campaigns/{campaign.id}/send")
    await ready(page)
    await asyncio.sleep(6)
    assert await story.texted(numbers) == {}


async def test_what_was_refused_because_the_campaign_ended_says_so(story: Story, opens: Opens) -> None:
    numbers = story.numbers(5)
    campaign = await story.campaign(numbers)
    _, page = await sending(story, opens, campaign)
    await page.keyboard.press("Enter")
    await until_seen(page, "#mine", "1")
    await (await story.manager()).ok("POST", f"/campaigns/{campaign.id}/end", json={"confirm": "END"})
    await page.keyboard.press("Enter")
    await page.wait_for_selector("#errors li")
    assert "the campaign has ended" in await page.inner_text("#errors")
    await page.get_by_role("button", name="Dismiss").click()
    assert not await page.locator("#errors li").count()
    assert await story.texted(numbers) == {numbers[0]: 1}


async def test_somebody_who_sends_another_campaign_is_told_which_and_can_move_over(story: Story, opens: Opens) -> None:
    one, two = await story.campaign(story.numbers(2)), await story.campaign(story.numbers(2))
    _, page = await sending(story, opens, one)
    await page.goto(f"{story.running.url()}/campaigns/{two.id}/send")
    assert f"You are sending {one.name}" in await page.inner_text("main")
    await page.get_by_role("button", name=f"Move over to {two.name}").click()
    await ready(page)
    await page.keyboard.press("Enter")
    await story.settles(two, delivered=1, unprocessed=1)
