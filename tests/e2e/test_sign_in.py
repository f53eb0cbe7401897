"""Nobody in who does not belong: by password and by page, out again everywhere, and no service takes an ended token."""

import asyncio
import subprocess
from datetime import UTC, datetime, timedelta

import aiohttp
import jwt
import pytest
from kernel.testing import eventually

from tests.e2e.running import HANDSENT, SERVICES
from tests.e2e.story import Story

PASSWORD = "correct horse battery staple"
ASKED = {
    "send-intake": "/api/v1/campaigns",
    "dispatcher": "/api/v1/replies",
    "projections": "/api/v1/campaigns/00000000-0000-4000-8000-000000000000/progress",
}


async def said(story: Story, token: str) -> dict[str, int]:
    """What each service that has bearer routes answers the token, asked itself and by way of send-intake."""
    found = {}
    for service, path in ASKED.items():
        for by in {story.running.url(SERVICES[service]), story.running.url()}:
            async with story.http.get(by + path, headers={"Authorization": f"Bearer {token}"}) as answer:
                found[f"{service} by {by}"] = answer.status
    return found


async def refused_everywhere(story: Story, token: str) -> bool:
    return set((await said(story, token)).values()) == {401}


async def let_in_everywhere(story: Story, token: str) -> bool:
    return set((await said(story, token)).values()) <= {200, 404}


async def command(story: Story, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = await asyncio.to_thread(story.running.handsent, *arguments, "--account", story.account)
    assert done.returncode == 0, done.stderr
    return done


async def with_password(story: Story, name: str) -> None:
    await story.user(name, "manager")
    arguments = [HANDSENT, "user", "password", name, "--account", story.account]
    done = await asyncio.to_thread(
        subprocess.run, arguments, env=story.running.environment, input=f"{PASSWORD}\n", text=True, capture_output=True
    )
    assert done.returncode == 0, done.stderr


async def sign_in(story: Story, name: str, password: str = PASSWORD) -> tuple[int, dict[str, str]]:
    """The answer; other stories sign in from this address too, so that it may have to wait for its turn."""
    asked = {"account": story.account, "name": name, "password": password}

    async def answered() -> tuple[int, dict[str, str]] | None:
        async with story.http.post(f"{story.running.url()}/api/v1/sessions", json=asked) as answer:
            said = answer.status, await answer.json(content_type=None)
            return None if answer.status == 429 else said

    found: tuple[int, dict[str, str]] = await eventually(answered, "a turn")
    return found


async def test_an_expired_token_is_401_at_all_three(story: Story) -> None:
    token = (await story.manager()).token
    assert await let_in_everywhere(story, token)
    claims = jwt.decode(token, options={"verify_signature": False})
    assert timedelta(days=89) < datetime.fromtimestamp(claims["exp"], UTC) - datetime.now(UTC) < timedelta(days=91)
    key = story.running.home.joinpath("secrets.json").read_text().split('"TOKEN_KEY": "')[1].split('"')[0]
    assert await let_in_everywhere(story, jwt.encode({**claims, "name": "another"}, key))
    for forged in ({**claims, "exp": claims["iat"] - 1}, {k: v for k, v in claims.items() if k != "exp"}):
        assert await refused_everywhere(story, jwt.encode(forged, key))


@pytest.mark.parametrize("way", ["the API", "handsent token revoke", "handsent user sign-out", "handsent user disable"])
async def test_a_revoked_token_is_401_at_all_three_within_a_second_or_so(story: Story, way: str) -> None:
    user = await story.user(f"Rita, by {way}")
    token_id = jwt.decode(user.token, options={"verify_signature": False})["jti"]
    assert await let_in_everywhere(story, user.token)
    if way == "the API":
        assert (await user.ok("DELETE", "/sessions/current"))["everywhere"] is True
    elif way == "handsent token revoke":
        done = await asyncio.to_thread(story.running.handsent, "token", "revoke", token_id)
        assert done.returncode == 0, done.stderr
    else:
        await command(story, "user", way.rpartition(" ")[2], user.name)
    await eventually(lambda: refused_everywhere(story, user.token), "401 at all three", 2)


async def test_a_password_signs_in_and_out_again(story: Story) -> None:
    await with_password(story, "Pia")
    assert (await sign_in(story, "Pia", "another password"))[0] == 401
    status, made = await sign_in(story, "Pia")
    assert status == 201 and await let_in_everywhere(story, made["token"])
    await command(story, "user", "sign-out", "Pia")
    await eventually(lambda: refused_everywhere(story, made["token"]), "the end of the session", 2)
    assert (await sign_in(story, "Pia"))[0] == 201
    await command(story, "user", "disable", "Pia")
    assert (await sign_in(story, "Pia"))[0] == 401


async def test_a_person_works_with_the_page_s_cookie_alone(story: Story) -> None:
    token, base = (await story.manager()).token, story.running.url()
    ours = {"Origin": base}
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
        async with browser.post(f"{base}/sign-in", data={"token": token}, headers=ours) as answer:
            assert answer.status == 200 and "<span>Mia " in await answer.text()
        async with browser.get(f"{base}/api/v1/opt-outs") as answer:
            assert answer.status == 200
        async with browser.get(f"{base}{ASKED['projections']}") as answer:
            assert answer.status == 404, "let in, and there is no such campaign"
        async with browser.post(f"{base}/api/v1/campaigns", json={"name": "n", "text": "t"}) as answer:
            assert answer.status == 403, "it does not say that it comes from our own page"
        [cookie] = [each.value for each in browser.cookie_jar]
        async with browser.post(f"{base}/sign-out", headers=ours) as answer:
            assert "You are signed out" in await answer.text()
    await eventually(lambda: refused_everywhere(story, cookie), "the end of the session", 2)
    assert await let_in_everywhere(story, token)


async def test_a_stream_ends_with_the_session_it_was_asked_for_with(story: Story) -> None:
    numbers = story.numbers(2)
    campaign = await story.campaign(numbers)
    sam = await story.sending("Sam", campaign)
    await with_password(story, "Lena")
    _, made = await sign_in(story, "Lena")
    headers = {"Authorization": f"Bearer {made['token']}"}
    url = f"{story.running.url()}/api/v1/campaigns/{campaign.id}/progress/stream"
    async with story.http.get(url, headers=headers) as stream:
        assert (await stream.content.readline()).startswith(b"event: progress")
        await command(story, "user", "sign-out", "Lena")
        await eventually(lambda: refused_everywhere(story, made["token"]), "the end of the session", 2)
        heard = asyncio.create_task(stream.content.read())
        await sam.sends_all(campaign, numbers)
        rest = await asyncio.wait_for(heard, 20)
    assert rest.count(b"event: progress") <= 1, "nothing new is told after the end"
    await story.settles(campaign, delivered=2)
