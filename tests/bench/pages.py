"""The sending page under a hand's pace: from Enter to the next row, and from a SEND to the number on Progress."""

import asyncio
import shutil
import statistics
import time
from dataclasses import dataclass

import aiohttp
from playwright.async_api import BrowserContext, Page, async_playwright

from tests.bench.load import press_all
from tests.bench.message_life import CAMPAIGNS, Bench, quantile
from tests.bench.stack import Running

PRESSES, EVERY_S = 200, 0.12  # of the hand that is watched
OTHERS_PER_S = 20.0  # three more, together
SEEN = 20
# In the page, so that no message to the test is in the time: until the browser has painted the next row marked.
ENTER = """() => new Promise(done => {
  const began = performance.now();
  document.activeElement.click();
  const painted = () => done([performance.now() - began, document.activeElement.className]);
  requestAnimationFrame(() => requestAnimationFrame(painted));
})"""


@dataclass(frozen=True)
class Result:
    """Milliseconds, sorted."""

    recipients: int
    enter_ms: list[float]
    progress_ms: list[float]


async def measure(stack: Running, recipients: int) -> Result:
    chromium = shutil.which("chromium")
    assert chromium, "Debian's chromium is needed"
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=600)) as session, async_playwright() as driver:
        bench = Bench(stack, session)
        [campaign_id, *_], presses = await bench.presses(recipients * CAMPAIGNS)
        others = [press for press in presses if press.campaign_id != campaign_id]
        browser = await driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        base = f"http://127.0.0.1:{stack.port('INTAKE_PORT')}"
        context = await browser.new_context()
        page = await _signed_in(context, base, stack.token("bench hand", "manager", "bench"))
        busy = asyncio.create_task(press_all(stack.port("INTAKE_PORT"), others, 3, OTHERS_PER_S))
        await page.goto(f"{base}/campaigns/{campaign_id}/send")
        await page.get_by_role("button", name="Start sending").click()
        while not await page.evaluate("document.activeElement.matches('.send')"):
            await asyncio.sleep(0.02)
        enter_ms = []
        for _ in range(PRESSES):
            took, marked = await page.evaluate(ENTER)
            assert marked == "send"
            enter_ms.append(took)
            await asyncio.sleep(EVERY_S)
        progress_ms = await _seen(page, await context.new_page(), f"{base}/campaigns/{campaign_id}")
        busy.cancel()
        await asyncio.gather(busy, return_exceptions=True)
        await browser.close()
    return Result(recipients, sorted(enter_ms), sorted(progress_ms))


async def _signed_in(context: BrowserContext, base: str, token: str) -> Page:
    page = await context.new_page()
    await page.goto(f"{base}/sign-in")
    await page.fill("#token", token)
    await page.press("#token", "Enter")
    await page.wait_for_url("**/campaigns")
    return page


async def _seen(page: Page, watching: Page, address: str) -> list[float]:
    """From a press on one page to its number on the other."""
    await watching.goto(address)
    shows = watching.locator('[data-figure="processed"]').first
    await asyncio.sleep(2)
    found = []
    for _ in range(SEEN):
        before = await shows.inner_text()
        began = time.monotonic()
        await page.evaluate("document.querySelector('.row:not(.pressed) .send').click()")
        while await shows.inner_text() == before:
            await asyncio.sleep(0.005)
        found.append((time.monotonic() - began) * 1000)
        await asyncio.sleep(0.5)
    return found


def lines(result: Result) -> str:
    """What it came to."""
    enter, seen = result.enter_ms, result.progress_ms
    return (
        f"pages, {result.recipients:,} recipients and three more hands: from Enter until the next row is marked and "
        f"painted p50 {statistics.median(enter):.0f} ms, p95 {quantile(enter, 0.95):.0f} ms; from a SEND to the number "
        f"on Progress p50 {statistics.median(seen):.0f} ms, p95 {quantile(seen, 0.95):.0f} ms"
    )
