"""Nobody in who does not belong: every route of every service, in every way of not belonging, and nothing is shown."""

import asyncio
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple
from uuid import uuid4

import aiohttp
import jwt
import orjson
import pytest

from tests.contract.routes import Route, routes
from tests.e2e.people import Campaign, User, read
from tests.e2e.running import SERVICES
from tests.e2e.story import Story

ROUTES = routes()
ROLES = ("sender", "manager", "auditor")
BEHIND_A_TOKEN = [route for route in ROUTES if route.roles]
AT_ONCE = 24
REVOKED = "revoked"
# What every caller might send, so that no refusal hides behind a body that was not good.
BODY = {
    "confirm": "END",
    "name": "No",
    "text": "No",
    "phone": "+12025550199",
    "recipients": [],
    "recipient_ids": [],
    "reason": "no",
    "resolution": "accepted",
}


class Secret(NamedTuple):
    """An account that has one of everything, and what of it must never be told to another."""

    owner: User
    ids: dict[str, str]
    data: frozenset[str]


class Ask(NamedTuple):
    """A request of a route at the service itself, or at the one address for people."""

    route: Route
    base: str

    def url(self, ids: dict[str, str]) -> str:
        return self.base + re.sub(r"\{(\w+)\}", lambda name: ids.get(name[1], str(uuid4())), self.route.path)


# Each way makes the Authorization header of a caller who is not one, from the token of one who is.
WAYS_TO_BE_NOBODY: dict[str, Any] = {
    "no token": lambda token, key: None,
    "an empty one": lambda token, key: "Bearer ",
    "garbage": lambda token, key: "Bearer garbage",
    "garbage of three parts": lambda token, key: "Bearer e30.e30.e30",
    "a token of another scheme": lambda token, key: f"Basic {token}",
    "another key": lambda token, key: f"Bearer {_signed(token, 'a key that somebody has made up for himself')}",
    "no algorithm": lambda token, key: f"Bearer {jwt.encode(_claims(token), '', algorithm='none')}",
    "another issuer": lambda token, key: f"Bearer {_signed(token, key, iss='somebody')}",
    "another role": lambda token, key: f"Bearer {_signed(token, key, role='owner')}",
    "expired": lambda token, key: f"Bearer {_signed(token, key, exp=int(time.time()) - 1)}",
    "expired long ago": lambda token, key: f"Bearer {_signed(token, key, exp=1)}",
}


def _claims(token: str) -> dict[str, Any]:
    found: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return found


def _signed(token: str, key: str, **changed: Any) -> str:
    return jwt.encode(_claims(token) | changed, key, algorithm="HS256")


@pytest.fixture(scope="module")
def made_once() -> list[Secret]:
    return []


@pytest.fixture
async def theirs(story: Story, made_once: list[Secret]) -> Secret:
    if not made_once:
        made_once.append(await _made(story))
    return made_once[0]._replace(owner=replace(made_once[0].owner, http=story.http))


async def _made(story: Story) -> Secret:
    """An account with a campaign, people, a reply, an opt-out and an outcome that nobody knows."""
    account = f"{story.account} theirs"
    owner = await story.user("Zoe Zebra", "manager", account)
    number, unknown, stopped = story.number(), story.number("0016"), story.number()
    made = await owner.ok("POST", "/campaigns", json={"name": "Quetzal", "text": "Xylophone {first_name}"})
    campaign = Campaign(made["campaign_id"], made["name"], made["sender"])
    listed = f"phone,first_name\n{number},Quincy\n{unknown},Ulysses\n{stopped},Ulysses\n".encode()
    path = f"/campaigns/{campaign.id}/recipients"
    await owner.ok("POST", path, data=listed, headers={"Content-Type": "text/csv"})
    assert (await owner.starts(campaign)).status == 200
    for each in (number, unknown):
        assert (await owner.sends(campaign, each)).status == 200
    await story.replies(number, campaign.sender, "Marmalade")
    opted_out = await owner.ok("POST", "/opt-outs", json={"phone": stopped, "reason": "Jackdaw"})

    async def seen() -> bool:
        listed = await owner.ok("GET", "/unresolved")
        return bool(listed["unresolved"] and (await owner.ok("GET", "/replies"))["replies"])

    async with asyncio.timeout(40):
        while not await seen():
            await asyncio.sleep(0.1)
    ids = {"campaign_id": campaign.id, "recipient_id": campaign.rid(unknown), "person_id": opted_out["person_id"]}
    words = {"Zoe Zebra", "Quetzal", "Xylophone", "Quincy", "Ulysses", "Marmalade", "Jackdaw"}
    numbers = {each[1:] for each in (number, unknown, stopped, campaign.sender)}
    claims = _claims(owner.token)
    return Secret(owner, ids, frozenset({*words, *numbers, campaign.rid(number), claims["account"], claims["sub"]}))


@pytest.fixture
def key(story: Story) -> str:
    """What tokens are signed with: the tests may read the stack's secrets, callers may not."""
    found: str = orjson.loads((story.running.home / "secrets.json").read_bytes())["TOKEN_KEY"]
    return found


def asks(story: Story, among: list[Route]) -> Iterator[Ask]:
    """At the service, and at the one address for people where it passes on."""
    passed_on = [re.compile(re.sub(r"\\\{\w+\\\}", ".+", re.escape(r.path))) for r in ROUTES if r.passed_on]
    for route in among:
        yield Ask(route, story.running.url(SERVICES[route.service]))
        if route.service != "send-intake" and any(pattern.fullmatch(route.path) for pattern in passed_on):
            yield Ask(route, story.running.url())


async def is_refused(
    http: aiohttp.ClientSession, ask: Ask, ids: dict[str, str], header: str | None, secret: Secret, why: str
) -> int:
    """The status of a refusal that tells nothing."""
    headers = {"Authorization": header} if header is not None else {}
    sent: dict[str, Any] = {"json": BODY} if ask.route.method != "GET" else {}
    async with http.request(ask.route.method, ask.url(ids), headers=headers, allow_redirects=False, **sent) as got:
        content = await got.read()
        answer = read(got.status, got.content_type, content)
        told = " ".join([content.decode(), *map(str, got.headers.items())])
    assert answer.status in (401, 403, 404), (ask, why, answer)
    assert [datum for datum in secret.data if datum in told] == [], (ask, why)
    return answer.status


async def all_of(works: Iterator[Any]) -> list[int]:
    """Their results, some at a time."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(work: Any) -> int:
        async with gate:
            status: int = await work
            return status

    return list(await asyncio.gather(*map(one, works)))


async def unchanged(secret: Secret) -> dict[str, Any]:
    """What would be different if any of it had been heard."""
    owner, campaign = secret.owner, f"/campaigns/{secret.ids['campaign_id']}"
    return {
        path: await owner.ok("GET", path)
        for path in ("/campaigns", campaign, "/opt-outs", "/unresolved", "/replies", f"{campaign}/recipients")
    }


async def _revoked(owner: User) -> str:
    """A token that was good everywhere, and was ended a moment ago."""
    made = await owner.ok("POST", "/tokens", json={"name": "to be ended", "days": 1})
    assert (await replace(owner, token=made["token"]).call("GET", "/replies")).status == 200
    assert (await owner.ok("DELETE", f"/tokens/{made['token_id']}"))["everywhere"]
    await asyncio.sleep(1.0)  # as long as the contract gives the other services to hear of it
    return f"Bearer {made['token']}"


@pytest.mark.parametrize("way", [*WAYS_TO_BE_NOBODY, REVOKED])
async def test_nobody_is_401_on_every_route(story: Story, theirs: Secret, key: str, way: str) -> None:
    if way == REVOKED:
        header = await _revoked(theirs.owner)
    else:
        header = WAYS_TO_BE_NOBODY[way](theirs.owner.token, key)
    asked = list(asks(story, BEHIND_A_TOKEN))
    assert len(asked) >= 38
    found = await all_of(is_refused(story.http, ask, theirs.ids, header, theirs, way) for ask in asked)
    assert set(found) == {401}


@pytest.mark.parametrize("role", ROLES)
async def test_another_accounts_ids_are_404_or_403_on_every_route_for_every_role(
    story: Story, theirs: Secret, role: str
) -> None:
    before = await unchanged(theirs)
    user = await story.user(f"Eve {role}", role, f"{story.account} eve")
    asked = [ask for ask in asks(story, BEHIND_A_TOKEN) if "{" in ask.route.path]
    bearer = f"Bearer {user.token}"
    found = await all_of(is_refused(story.http, ask, theirs.ids, bearer, theirs, role) for ask in asked)
    for ask, status in zip(asked, found, strict=True):
        # SEND says the role first; everywhere else the unknown id comes first.
        role_first = ask.route.path.endswith("/send") and role not in ask.route.roles
        assert status == (403 if role_first else 404), (ask, role)
    assert await unchanged(theirs) == before


@pytest.mark.parametrize("role", ROLES)
async def test_a_role_that_may_not_is_403_on_ones_own_account_s_things(story: Story, theirs: Secret, role: str) -> None:
    before = await unchanged(theirs)
    user = await story.user(f"Yan {role}", role, f"{story.account} theirs")
    asked = [ask for ask in asks(story, BEHIND_A_TOKEN) if role not in ask.route.roles]
    assert asked or role == "manager"
    bearer = f"Bearer {user.token}"
    found = await all_of(is_refused(story.http, ask, theirs.ids, bearer, theirs, role) for ask in asked)
    assert set(found) <= {403}
    assert await unchanged(theirs) == before


@pytest.mark.parametrize("role", ROLES)
async def test_lists_hold_nothing_of_another_account(story: Story, theirs: Secret, role: str) -> None:
    user = await story.user(f"Eve {role}", role, f"{story.account} eve")
    for ask in asks(story, BEHIND_A_TOKEN):
        if ask.route.method == "GET" and "{" not in ask.route.path and role in ask.route.roles:
            headers = {"Authorization": f"Bearer {user.token}"}
            async with story.http.get(ask.url({}), headers=headers) as got:
                told = await got.text()
            assert got.status == 200, ask
            assert [datum for datum in {*theirs.data, *theirs.ids.values()} if datum in told] == [], ask


async def test_what_is_open_to_all_tells_nothing_of_anybody(story: Story, theirs: Secret) -> None:
    opened = [route for route in ROUTES if route.open and route.method == "GET"]
    assert {"/status", "/metrics", "/openapi.json"} <= {route.path for route in opened}
    for ask in asks(story, opened):
        async with story.http.get(ask.url({}), allow_redirects=False) as got:
            told = await got.text()
        assert got.status < 500, ask
        assert [datum for datum in {*theirs.data, *theirs.ids.values()} if datum in told] == [], ask


async def test_no_route_hides_from_the_walk(story: Story) -> None:
    """What runs says in its document what was walked; and whatever else is asked of it is 404 or 405."""
    for service, port in SERVICES.items():
        base = story.running.url(port)
        async with story.http.get(f"{base}/openapi.json") as got:
            paths = orjson.loads(await got.read())["paths"]
        told = {(method.upper(), path) for path, methods in paths.items() for method in methods}
        walked = {(route.method, route.path) for route in ROUTES if route.told}
        assert told <= walked, service
        for path in (
            "/docs",
            "/redoc",
            "/debug",
            "/admin",
            "/api",
            "/api/v1",
            "/api/v2/campaigns",
            "/.env",
            "/webhooks",
        ):
            async with story.http.get(base + path) as got:
                assert got.status in (404, 405), (service, path)
