"""Presses that did not reach us: whose they are, what is said of them, and when they are sent."""

import asyncio
from typing import Any

import jwt
from playwright.async_api import Page, Route

from tests.e2e.pages.conftest import Opens, until_seen, until_true
from tests.e2e.pages.test_pages_one_press import sending
from tests.e2e.people import User
from tests.e2e.story import Story, until

KEPT = """() => new Promise(done => { const asked = indexedDB.open("handsent", 1);
  asked.onsuccess = () => { const all = asked.result.transaction("presses").objectStore("presses").getAll();
    all.onsuccess = () => done(all.result); }; })"""
OLDER = """() => new Promise(done => { const asked = indexedDB.open("handsent", 1);
  asked.onsuccess = () => { const store = asked.result.transaction("presses", "readwrite").objectStore("presses");
    store.getAll().onsuccess = (got) => {
      for (const one of got.target.result) store.put({ ...one, at: one.at - 13 * 3600000 });
      store.transaction.oncomplete = () => done(); }; }; })"""


HIDE = """hidden => { Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange")); }"""


async def kept(page: Page) -> int:
    found: list[Any] = await page.evaluate(KEPT)
    return len(found)


async def presses_in_vain(page: Page, count: int) -> None:
    """So many presses are made and kept, for no POST gets through; then the network is as it was."""
    await page.route("**/send", lambda route: route.abort() if route.request.method == "POST" else route.continue_())
    for _ in range(count):
        await page.keyboard.press("Enter")
    await until_true(page, f"document.querySelectorAll('.row.kept').length === {count}")
    await page.unroute("**/send")


async def signs_in_over(page: Page, story: Story, user: User) -> None:
    """Whoever is signed in in this browser."""
    await page.goto(story.running.url() + "/sign-in")
    await page.fill("#token", user.token)
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/campaigns")


async def test_what_is_pressed_on_a_page_is_never_put_down_to_who_signed_in_after_it(
    story: Story, opens: Opens
) -> None:
    numbers = story.numbers(6)
    campaign = await story.campaign(numbers)
    sam, page = await sending(story, opens, campaign, "Sam")
    tom = await story.sending("Tom", campaign)
    other = await page.context.new_page()
    await signs_in_over(other, story, tom)
    await page.keyboard.press("Enter")
    await page.locator(".who", has_text="Tom").wait_for()  # the page was loaded again, as Tom's
    assert await kept(page) == 1 and await story.ledger(numbers) == []
    await signs_in_over(page, story, sam)
    await page.goto(f"{story.running.url()}/campaigns/{campaign.id}/send")
    await until_seen(page, "#mine", "1")
    await story.settles(campaign, delivered=1, unprocessed=5)
    told = {row["phone"]: row["processed_by"] for row in await story.report(campaign)}
    assert told[numbers[0]] == jwt.decode(sam.token, options={"verify_signature": False})["sub"]


async def test_what_was_kept_is_told_when_the_campaign_has_ended(story: Story, opens: Opens) -> None:
    numbers = story.numbers(5)
    campaign = await story.campaign(numbers)
    _, page = await sending(story, opens, campaign)
    await presses_in_vain(page, 2)
    await page.goto("about:blank")
    await (await story.manager()).ok("POST", f"/campaigns/{campaign.id}/end", json={"confirm": "END"})
    await page.goto(f"{story.running.url()}/campaigns/{campaign.id}/send")
    await until_true(page, "document.querySelectorAll('#errors li').length === 2")
    assert "was not SENT: the campaign has ended" in await page.inner_text("#errors")
    assert await kept(page) == 0 and await story.texted(numbers) == {}


async def test_what_was_pressed_for_a_campaign_one_has_left_is_kept_and_told(story: Story, opens: Opens) -> None:
    numbers = story.numbers(5)
    campaign = await story.campaign(numbers)
    sam, page = await sending(story, opens, campaign)
    await sam.stops(campaign)
    await page.keyboard.press("Enter")
    await page.locator("#errors li", has_text="1 press is kept in this browser").wait_for()
    await page.goto(story.running.url() + "/campaigns")
    await page.locator("#errors li", has_text="did not reach us").wait_for()
    assert campaign.name in await page.inner_text("#errors")
    await page.get_by_role("button", name="See").click()
    await page.locator("#errors li", has_text="Start sending, and they are sent").wait_for()
    await page.get_by_role("button", name="Start sending").click()
    await until_seen(page, "#mine", "1")
    await story.settles(campaign, delivered=1, unprocessed=4)


async def test_what_is_older_than_a_session_is_asked_about_first(story: Story, opens: Opens) -> None:
    numbers = story.numbers(5)
    campaign = await story.campaign(numbers)
    _, page = await sending(story, opens, campaign)
    await presses_in_vain(page, 2)
    await page.goto(story.running.url() + "/campaigns/completed")
    await page.evaluate(OLDER)
    await page.goto(f"{story.running.url()}/campaigns/{campaign.id}/send")
    await page.locator("#errors li", has_text="Are they still to be sent?").wait_for()
    await asyncio.sleep(6)
    assert await story.ledger(numbers) == []
    await page.get_by_role("button", name="Send them").click()
    await until_seen(page, "#mine", "2")
    await story.settles(campaign, delivered=2, unprocessed=3)


async def test_an_answer_that_is_not_ours_is_none(story: Story, opens: Opens) -> None:
    """Of a network that wants somebody to sign in to it first, say."""
    numbers = story.numbers(4)
    campaign = await story.campaign(numbers)
    _, page = await sending(story, opens, campaign)
    await page.route("**/recipients/*/send", lambda route: route.fulfill(body="<p>Welcome to our WiFi</p>"))
    await page.route("**/campaigns/*/send", lambda route: route.fulfill(body="<p>Welcome to our WiFi</p>"))
    await page.keyboard.press("Enter")
    await page.wait_for_selector(".row.kept")
    assert await kept(page) == 1
    await page.unroute_all()
    await until_seen(page, "#mine", "1")
    await story.settles(campaign, delivered=1, unprocessed=3)


async def test_one_that_cannot_be_taken_does_not_hold_up_the_others(story: Story, opens: Opens) -> None:
    numbers = story.numbers(6)
    campaign = await story.campaign(numbers)
    _, page = await sending(story, opens, campaign)
    await presses_in_vain(page, 3)

    async def without_the_first(route: Route) -> None:
        if route.request.method != "POST":
            return await route.continue_()
        asked = route.request.post_data_json["recipients"]
        rest = await route.fetch(post_data={"recipients": asked[1:]})
        results = (await rest.json())["results"]
        refused = {"recipient_id": asked[0]["recipient_id"], "status": 503, "code": "try_again"}
        return await route.fulfill(json={"results": [refused, *results]})

    await page.route("**/campaigns/*/send", without_the_first, times=1)
    await until_seen(page, "#mine", "2")
    await page.get_by_text("The service cannot take everything").wait_for()
    await until_seen(page, "#mine", "3")
    await story.settles(campaign, delivered=3, unprocessed=3)


async def test_what_was_pressed_is_sent_before_one_stops(story: Story, opens: Opens) -> None:
    numbers = story.numbers(5)
    campaign = await story.campaign(numbers)
    _, page = await sending(story, opens, campaign)
    await presses_in_vain(page, 3)
    await page.get_by_role("button", name="Stop sending").click()
    await page.wait_for_url("**/campaigns")
    assert await kept(page) == 0
    await story.settles(campaign, delivered=3, unprocessed=2)


async def test_rows_of_who_signs_out_go_to_others_at_once(story: Story, opens: Opens) -> None:
    campaign = await story.campaign(story.numbers(20))
    _, page = await sending(story, opens, campaign, "Sam")
    tom = await story.sending("Tom", campaign)
    await page.get_by_role("button", name="Sign out").click()
    await page.wait_for_url("**/sign-in?signed=out")

    async def all_his() -> bool:
        return len(await tom.rows(campaign)) == 20

    await until(all_his, "the rows are back")


async def test_an_opt_out_confirmed_in_vain_is_not_confirmed_for_the_next(story: Story, opens: Opens) -> None:
    manager, one, two = await story.manager(), story.number(), story.number()
    for number in (one, two):
        await manager.ok("POST", "/opt-outs", json={"phone": number})
    page = await opens(manager, "/opt-outs")
    await page.route("**/opt-outs/*", lambda route: route.abort())
    await page.get_by_role("button", name=f"Remove {one}").click()
    await page.fill("#lift-reason", "wrote to us")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("#problem:not([hidden])")
    await page.unroute("**/opt-outs/*")
    await page.get_by_role("button", name=f"Remove {two}").click()
    await page.keyboard.press("Escape")
    await asyncio.sleep(1)
    for number in (one, two):
        assert (await manager.ok("POST", "/opt-outs/search", json={"phone": number}))["opt_outs"]


async def test_a_search_leaves_no_number_in_an_address(story: Story, opens: Opens) -> None:
    manager, number = await story.manager(), story.number()
    await manager.ok("POST", "/opt-outs", json={"phone": number})
    page = await opens(manager, "/opt-outs")
    await page.fill("#search", number)
    await page.keyboard.press("Enter")
    await page.get_by_role("button", name=f"Remove {number}").wait_for()
    assert page.url.endswith("/opt-outs")


async def test_a_page_nobody_sees_holds_no_connection(story: Story, opens: Opens) -> None:
    campaign = await story.campaign(story.numbers(3))
    page = await opens(await story.manager(), f"/campaigns/{campaign.id}")
    streams: list[str] = []
    page.on("requestfailed", lambda request: streams.append(f"ended {request.url}"))
    page.on("request", lambda request: streams.append(f"begun {request.url}"))
    await until_true(page, "document.querySelector('[data-figure=recipients]').textContent === '3'")

    async def told(what: str) -> bool:
        return any(line.startswith(what) and line.endswith("/progress/stream") for line in streams)

    await page.evaluate(HIDE, True)
    await until(lambda: told("ended"), "the stream was let go")
    await page.evaluate(HIDE, False)
    await until(lambda: told("begun"), "it is followed again")


async def test_a_campaign_that_was_made_appears_by_itself(story: Story, opens: Opens) -> None:
    page = await opens(await story.user("Sam"), "/campaigns")
    campaign = await story.campaign(story.numbers(2))
    await page.locator(f"[data-campaign='{campaign.id}']").wait_for(timeout=20_000)
