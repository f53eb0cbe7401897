"""The sign-in page as a browser uses it, with forms, a cookie, redirects; and what another site's page cannot do."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from kernel.testing import eventually
from kernel.tokens import Role
from yarl import URL

from tests.integration.access.world import PASSWORD, Door, Services

COOKIE = "handsent_session"


class Browser:
    """Pages and forms; it says where a request comes from, as browsers do."""

    def __init__(self, door: Door) -> None:
        self.door, self.http, self.url = door, door.http, door.services.url

    async def page(self, path: str, **kwargs: Any) -> str:
        async with self.http.get(self.url + path, **kwargs) as answer:
            assert answer.status == 200
            return await answer.text()

    async def post(self, path: str, **kwargs: Any) -> tuple[int, str]:
        """The status of the answer itself, and the text it leads to."""
        headers = {"Origin": self.url, "Sec-Fetch-Site": "same-origin", **kwargs.pop("headers", {})}
        async with self.http.post(self.url + path, headers=headers, **kwargs) as answer:
            return (answer.history[0] if answer.history else answer).status, await answer.text()

    @property
    def cookie(self) -> str:
        jar = self.http.cookie_jar.filter_cookies(URL(self.url))
        return jar[COOKIE].value if COOKIE in jar else ""


@pytest.fixture
async def browser(door: Door) -> AsyncIterator[Browser]:
    yield Browser(door)


async def test_the_front_page_shows_the_way_to_a_box_labelled_token(browser: Browser) -> None:
    page = await browser.page("/")
    for_ = re.search(r'<label for="(\w+)">Token</label>', page)
    assert for_ and f'<input id="{for_[1]}" name="token"' in page
    assert "<script" not in page and 'lang="en"' in page


async def test_a_token_signs_in_and_signing_out_ends_the_session_but_not_the_token(browser: Browser) -> None:
    token = await browser.door.token("Ada <b>", Role.MANAGER)
    status, page = await browser.post("/sign-in", data={"token": f"  {token}\n"})
    assert status == 303 and "Ada &lt;b&gt;" in page and "manager" in page
    session = browser.cookie
    assert session and session != token
    status, page = await browser.post("/sign-out")
    assert status == 303 and "You are signed out" in page and not browser.cookie
    await eventually(lambda: browser.door.everywhere_refused(session), "the end of the session", 2)
    assert (await browser.door.let_in(token))["send_intake"]


async def test_the_token_s_end_is_the_session_s(browser: Browser) -> None:
    token = await browser.door.token("Ada")
    await browser.post("/sign-in", data={"token": token})
    assert (await browser.door.ask("DELETE", "/sessions/current", token))[0] == 200
    assert '<label for="token">' in await browser.page("/")


async def test_a_password_signs_in(browser: Browser) -> None:
    await browser.door.with_password("Ada")
    form = {"account": browser.door.account, "name": "Ada", "password": PASSWORD}
    status, page = await browser.post("/sign-in", data={**form, "password": "wrong"})
    assert status == 401 and 'role="alert"' in page and "wrong" not in page and not browser.cookie
    status, page = await browser.post("/sign-in", data=form)
    assert status == 303 and "<span>Ada " in page and browser.cookie


@pytest.mark.parametrize(
    "form", [{}, {"token": ""}, {"token": "eyJ"}, {"account": "a"}, {"account": "\0", "name": "b", "password": "c"}]
)
async def test_anything_else_does_not(browser: Browser, form: dict[str, str]) -> None:
    status, _ = await browser.post(
        "/sign-in", data=form or b"", headers={"Content-Type": "application/x-www-form-urlencoded"}
    )
    assert status == 401 and not browser.cookie


async def test_the_cookie_is_for_this_site_alone_and_for_no_script(browser: Browser) -> None:
    token = await browser.door.token("Ada")
    async with browser.http.post(f"{browser.url}/sign-in", data={"token": token}, allow_redirects=False) as answer:
        said = answer.headers["Set-Cookie"]
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= {part.strip() for part in said.split(";")}
    assert "Max-Age=43200" in said and token not in said


async def test_the_page_allows_our_own_files_and_nothing_else(browser: Browser) -> None:
    async with browser.http.get(f"{browser.url}/sign-in") as answer:
        page, policy = await answer.text(), answer.headers["Content-Security-Policy"]
    for allowed in ("default-src 'none'", "style-src 'self'", "script-src 'self'", "form-action 'self'"):
        assert allowed in policy
    assert "unsafe" not in policy and "<style" not in page
    [style] = re.findall(r'<link rel="stylesheet" href="(/static/[0-9a-f]+/[\w.]+)">', page)
    async with browser.http.get(f"{browser.url}{style}") as answer:
        assert (answer.status, answer.content_type) == (200, "text/css") and "immutable" in answer.headers[
            "Cache-Control"
        ]
    async with browser.http.get(f"{browser.url}/static/0000/handsent.css") as answer:
        assert answer.status == 404
    assert "style=" not in page and " on" not in "".join(re.findall(r"<\w+([^>]*)>", page)).replace(" one", "")


FROM_ELSEWHERE = [
    {"Origin": "https://elsewhere.example", "Sec-Fetch-Site": "cross-site"},
    {"Origin": "https://elsewhere.example"},
    {"Origin": "null"},
    {"Sec-Fetch-Site": "same-site"},
    {},
]


@pytest.mark.parametrize("headers", FROM_ELSEWHERE)
async def test_the_cookie_does_nothing_for_another_site_s_page(browser: Browser, headers: dict[str, str]) -> None:
    await browser.post("/sign-in", data={"token": await browser.door.token("Mia", Role.MANAGER)})
    asked = {"name": "n", "text": "t"}
    for path, body in (("/campaigns", asked), ("/opt-outs", {"phone": "+12025550123"})):
        status, said = await browser.door.ask("POST", path, json=body, headers=headers)
        assert (status, said["code"]) == (403, "cross_site")
    async with browser.http.post(f"{browser.url}/sign-out", headers=headers) as answer:
        assert answer.status == 403
    if headers:
        async with browser.http.post(f"{browser.url}/sign-in", headers=headers, data={"token": "x"}) as answer:
            assert answer.status == 403


async def test_the_cookie_serves_our_own_pages_also_for_what_is_passed_on(browser: Browser) -> None:
    await browser.post("/sign-in", data={"token": await browser.door.token("Mia", Role.MANAGER)})
    ours = {"Origin": browser.url}
    assert (await browser.door.ask("GET", "/campaigns"))[0] == 200
    assert (await browser.door.ask("GET", "/opt-outs"))[0] == 200
    assert (await browser.door.ask("POST", "/campaigns", json={"name": "n", "text": "t"}, headers=ours))[0] == 201
    phone = {"phone": "+12025550123"}
    assert (await browser.door.ask("POST", "/opt-outs", json=phone, headers=ours))[0] == 201


async def test_a_bearer_token_goes_before_the_cookie(browser: Browser) -> None:
    await browser.post("/sign-in", data={"token": await browser.door.token("Mia", Role.MANAGER)})
    auditor = await browser.door.token("Ann", Role.AUDITOR)
    assert (await browser.door.ask("POST", "/campaigns", auditor, json={"name": "n", "text": "t"}))[0] == 403
    assert (await browser.door.ask("GET", "/campaigns", "nonsense"))[0] == 401


async def test_a_cookie_of_anybody_s_is_no_way_in(browser: Browser) -> None:
    for cookie in (f"{COOKIE}=nonsense", f"{COOKIE}=", "a=b", '"', f'{COOKIE}="a\\012b"', f"{COOKIE}=é"):
        async with aiohttp.ClientSession() as http:
            async with http.get(f"{browser.url}/api/v1/campaigns", headers={"Cookie": cookie}) as answer:
                assert answer.status == 401, cookie
            async with http.get(f"{browser.url}/", headers={"Cookie": cookie}, allow_redirects=False) as answer:
                assert answer.status == 303, cookie


async def test_a_campaign_can_be_ended_while_its_figures_are_away(
    browser: Browser, services: Services, kafka: str, tmp_path: Path
) -> None:
    alone = Services(tmp_path, services.database_url, kafka).start("send_intake")
    try:
        door = Door(alone, browser.http)
        there = Browser(door)
        await there.post("/sign-in", data={"token": await browser.door.token("Mia", Role.MANAGER)})
        made = await door.ask("POST", "/campaigns", json={"name": "n", "text": "t"}, headers={"Origin": there.url})
        page = f"/campaigns/{made[1]['campaign_id']}"
        async with there.http.get(there.url + page) as answer:
            assert answer.status == 503 and f'href="{page}/end"' in await answer.text()
        shown = await there.page(f"{page}/end")
        assert "Type END to end the campaign" in shown and "not known now" in shown
        status, shown = await there.post(f"{page}/end", data={"confirm": "END"})
        assert status == 303 and "The campaign has ended" in shown
    finally:
        alone.stop()
