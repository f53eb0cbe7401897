"""A page shows nothing to whoever is not signed in, is of another account, or may not: every page, generated."""

import aiohttp
import pytest

from tests.contract.routes import Route, routes
from tests.e2e.people import User
from tests.e2e.story import Story

PAGES = [route for route in routes() if route.people]
OURS = {"Sec-Fetch-Site": "same-origin"}


def ids(route: Route) -> str:
    return f"{route.method} {route.path}"


class Door:
    """Requests as a browser sends them: with the cookie of a session, or with none."""

    def __init__(self, story: Story) -> None:
        self.base, self.http = story.running.url(), story.http

    async def session(self, user: User) -> str:
        async with self.http.post(
            f"{self.base}/sign-in", data={"token": user.token}, headers=OURS, allow_redirects=False
        ) as got:
            return got.cookies["handsent_session"].value

    async def ask(self, route: Route, session: str, headers: dict[str, str], **ids: str) -> tuple[int, str]:
        path = route.path.format(**{"recipient_id": ids.get("campaign_id", ""), **ids})
        cookie = {"Cookie": f"handsent_session={session}"} if session else {}
        data = {"confirm": "END"} if route.method == "POST" else None
        jar = aiohttp.DummyCookieJar()
        async with (
            aiohttp.ClientSession(cookie_jar=jar) as http,
            http.request(
                route.method, self.base + path, headers={**headers, **cookie}, data=data, allow_redirects=False
            ) as got,
        ):
            live = got.content_type == "text/event-stream"
            return got.status, got.headers.get("Location", "") if got.status == 303 or live else await got.text()


@pytest.mark.parametrize("route", PAGES, ids=ids)
async def test_whoever_is_not_signed_in_is_sent_to_the_door(story: Story, route: Route) -> None:
    campaign = await story.campaign()
    for session in ("", "nonsense"):
        status, where = await Door(story).ask(route, session, OURS, campaign_id=campaign.id)
        assert (status, where.split("?")[0]) == (303, "/sign-in")


@pytest.mark.parametrize("route", [route for route in PAGES if "{campaign_id}" in route.path], ids=ids)
async def test_another_account_s_campaign_is_not_found(story: Story, route: Route) -> None:
    campaign = await story.campaign(text="Quollword")
    door = Door(story)
    stranger = await door.session(await story.user("Eve", "manager", "others"))
    status, page = await door.ask(route, stranger, OURS, campaign_id=campaign.id)
    assert status == 404 and "Quollword" not in page and campaign.name not in page


@pytest.mark.parametrize("route", PAGES, ids=ids)
async def test_a_role_that_may_not_is_told_so(story: Story, route: Route) -> None:
    campaign = await story.campaign()
    door = Door(story)
    for role in {"sender", "manager", "auditor"} - set(route.people):
        session = await door.session(await story.user(role, role))
        status, page = await door.ask(route, session, OURS, campaign_id=campaign.id)
        assert status == 403 and "This needs the role" in page


@pytest.mark.parametrize("route", [route for route in PAGES if route.method == "POST"], ids=ids)
async def test_another_site_s_page_can_do_nothing_in_somebody_s_name(story: Story, route: Route) -> None:
    campaign = await story.campaign()
    door = Door(story)
    session = await door.session(await story.manager())
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}, {}):
        status, _ = await door.ask(route, session, headers, campaign_id=campaign.id)
        assert status == 403
    manager = await story.manager()
    assert (await manager.ok("GET", f"/campaigns/{campaign.id}"))["state"] == "current"
