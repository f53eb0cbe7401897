"""Every page can be read, used and seen by everybody: axe finds nothing serious, and nothing is cut off."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page

from tests.e2e.pages.conftest import Opens
from tests.e2e.pages.shown import PAGES, Shown, axe_source, furnished
from tests.e2e.story import Story

SERIOUS = {"serious", "critical"}
RULES = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}}


@pytest.fixture(scope="module")
def axe() -> str:
    return axe_source()


async def there(page: Page, shown: Shown, name: str) -> None:
    await page.goto(shown.address(name))
    await page.wait_for_load_state("load")
    await asyncio.sleep(0.2)


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_axe_finds_nothing_serious(story: Story, opens: Opens, axe: str, theme: str) -> None:
    shown = await furnished(story)
    page = await opens(await story.manager(), color_scheme=theme, bypass_csp=True)
    for name in PAGES:
        await there(page, shown, name)
        await page.evaluate(axe)
        found: dict[str, Any] = await page.evaluate("rules => axe.run(document, rules)", RULES)
        wrong = [
            (violation["id"], node["target"], node["failureSummary"])
            for violation in found["violations"]
            if violation["impact"] in SERIOUS
            for node in violation["nodes"]
        ]
        assert not wrong, f"{name} in {theme}: {wrong}"


async def test_every_page_fits_a_small_phone(story: Story, opens: Opens) -> None:
    shown = await furnished(story)
    page = await opens(await story.manager(), viewport={"width": 320, "height": 640})
    for name in PAGES:
        await there(page, shown, name)
        wide = await page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 320, f"{name} is {wide} px wide"


async def test_every_page_has_a_title_a_language_a_heading_and_a_way_past_the_bar(story: Story, opens: Opens) -> None:
    shown = await furnished(story)
    page = await opens(await story.manager())
    for name in PAGES:
        await there(page, shown, name)
        assert (await page.title()).endswith("· Handsent"), name
        assert await page.locator("h1").count() == 1, name
        assert await page.locator("html[lang=en]").count() == 1
        if await page.evaluate("document.activeElement === document.body"):  # else it has put the hand where it belongs
            await page.keyboard.press("Tab")
            assert await page.evaluate("document.activeElement.className") == "skip", name


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """`make screenshots` keeps the pictures for the README."""
    folder = Path(os.environ.get("SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


async def test_a_picture_of_every_page(story: Story, opens: Opens, folder: Path) -> None:
    shown = await furnished(story)
    page = await opens(await story.manager(), viewport={"width": 1000, "height": 700})
    for name in PAGES:
        await there(page, shown, name)
        await page.screenshot(path=folder / f"{name}.png", full_page=name not in ("sending", "recipients"))
        assert len(await page.screenshot()) > 5000, name
