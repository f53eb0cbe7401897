"""A browser for the stories: Debian's Chromium, driven as a person drives it, and watched for what no page may do."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Request, async_playwright

from tests.e2e.people import User
from tests.e2e.story import Story

# What a browser says by itself of an answer that was a refusal, or of a network that a test took away.
OF_THE_NETWORK = "Failed to load resource"


class Watched:
    """What pages did that they may not: errors, and asking a host that is not theirs."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.wrong: list[str] = []

    def over(self, context: BrowserContext) -> None:
        context.on("page", self._page)
        context.on("request", self._request)

    def _page(self, page: Page) -> None:
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.wrong.append(f"an error on {page.url}: {error}"))

    def _said(self, message: ConsoleMessage) -> None:
        if message.type == "error" and OF_THE_NETWORK not in message.text:
            self.wrong.append(f"the console: {message.text}")

    def _request(self, request: Request) -> None:
        asked = urlsplit(request.url)
        if asked.scheme in ("http", "https", "ws") and asked.netloc != self.host:
            self.wrong.append(f"asked of another host: {request.url}")


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    chromium = shutil.which("chromium")
    assert chromium, "these stories need Debian's chromium: `make browser`"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        await browser.close()


@pytest.fixture
async def watched(story: Story) -> AsyncIterator[Watched]:
    watched = Watched(urlsplit(story.running.url()).netloc)
    yield watched
    assert not watched.wrong


Opens = Callable[..., Awaitable[Page]]


@pytest.fixture
async def opens(browser: Browser, story: Story, watched: Watched) -> Opens:
    """A browser of its own for a user, signed in, on a page."""

    async def open_(user: User, path: str = "/", **about: object) -> Page:
        context = await browser.new_context(**{"viewport": {"width": 1100, "height": 800}, **about})  # type: ignore[arg-type]
        watched.over(context)
        page = await context.new_page()
        await signs_in(page, story, user)
        if path != "/":
            await page.goto(story.running.url() + path)
        return page

    return open_


async def signs_in(page: Page, story: Story, user: User) -> None:
    """With the keyboard alone."""
    await page.goto(story.running.url() + "/")
    await tab_to(page, "#token")
    await page.keyboard.insert_text(user.token)
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/campaigns")


async def tab_to(page: Page, selector: str, most: int = 60) -> None:
    """Tab until it has the focus, as somebody without a mouse does."""
    for _ in range(most):
        if await page.evaluate("s => document.activeElement?.matches(s)", selector):
            return
        await page.keyboard.press("Tab")
    raise AssertionError(f"{selector} cannot be reached with Tab on {page.url}")


async def focused(page: Page) -> str:
    """What a screen reader would say that has the focus."""
    said: str = await page.evaluate(
        "() => document.activeElement?.getAttribute('aria-label') || document.activeElement?.textContent?.trim() || ''"
    )
    return said


async def until_true(page: Page, expression: str, deadline_s: float = 30) -> None:
    """Until it is so on the page. Playwright's own way to wait evaluates texts, which the pages' policy forbids."""
    async with asyncio.timeout(deadline_s):
        while not await page.evaluate(expression):
            await asyncio.sleep(0.02)


async def until_seen(page: Page, selector: str, words: str, deadline_s: float = 30) -> None:
    """Until the element says exactly this."""
    async with asyncio.timeout(deadline_s):
        while (await page.locator(selector).first.inner_text()).strip() != words:
            await asyncio.sleep(0.05)
