"""Every wrong request gets a problem+json with a stable code, and changes nothing."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import uuid4

import jwt
import orjson
import pytest

from tests.e2e.people import Campaign, User, read
from tests.e2e.running import SERVICES
from tests.e2e.story import Story

READ = {"sender", "manager", "auditor"}
SEND = {"sender", "manager"}
MANAGE = {"manager"}
# Who may, as the contract says.
ROLES = {
    "POST /campaigns": MANAGE,
    "GET /campaigns": READ,
    "GET /campaigns/{campaign_id}": READ,
    "POST /campaigns/{campaign_id}/end": MANAGE,
    "GET /campaigns/{campaign_id}/end-preview": MANAGE,
    "POST /campaigns/{campaign_id}/recipients": MANAGE,
    "POST /campaigns/{campaign_id}/sending": SEND,
    "DELETE /campaigns/{campaign_id}/sending": SEND,
    "POST /campaigns/{campaign_id}/sending/next": SEND,
    "POST /campaigns/{campaign_id}/send": SEND,
    "POST /campaigns/{campaign_id}/recipients/{recipient_id}/send": SEND,
    "GET /opt-outs": {"manager", "auditor"},
    "POST /opt-outs": MANAGE,
    "POST /opt-outs/import": MANAGE,
    "DELETE /opt-outs/{person_id}": MANAGE,
    "GET /campaigns/{campaign_id}/progress": READ,
    "GET /campaigns/{campaign_id}/report.csv": READ,
    "GET /campaigns/{campaign_id}/recipients": READ,
    "GET /campaigns/{campaign_id}/recipients/{recipient_id}/timeline": READ,
}


class Route(NamedTuple):
    """A route that asks who calls."""

    method: str
    path: str
    base: str
    takes_json: bool
    needs_body: bool

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    def filled(self, ids: dict[str, str]) -> str:
        return re.sub(r"\{(\w+)\}", lambda found: ids[found[1]], self.path)


@pytest.fixture
async def routes(story: Story) -> list[Route]:
    """Every route that any service publishes, at the service and at the one address for people."""
    found = []
    for port in SERVICES.values():
        base = story.running.url(port)
        async with story.http.get(f"{base}/openapi.json") as answer:
            paths = orjson.loads(await answer.read())["paths"]
        for path, methods in paths.items():
            for method, about in methods.items():
                if path.startswith("/api/v1/"):
                    body = about.get("requestBody", {})
                    takes_json, required = "application/json" in body.get("content", {}), body.get("required", False)
                    found.append(Route(method.upper(), path.removeprefix("/api/v1"), base, takes_json, required))
    forwarded = [route._replace(base=story.running.url()) for route in found if not route.path.endswith("/states")]
    assert {route.name for route in found} >= ROLES.keys()
    return [*found, *(route for route in forwarded if route not in found)]


class Theirs(NamedTuple):
    """What another account has."""

    campaign: Campaign
    number: str
    ids: dict[str, str]
    manager: User


@pytest.fixture
async def theirs(story: Story) -> Theirs:
    account = f"{story.account} next door"
    manager = await story.user("Zoe", "manager", account)
    number = story.number("0016")
    made = await manager.ok("POST", "/campaigns", json={"name": "Theirs", "text": "Hi."})
    campaign = Campaign(made["campaign_id"], made["name"], made["sender"])
    path = f"/campaigns/{campaign.id}/recipients"
    await manager.ok("POST", path, data=f"phone\n{number}".encode(), headers={"Content-Type": "text/csv"})
    person = (await manager.ok("POST", "/opt-outs", json={"phone": story.number()}))["person_id"]
    token_id = (await manager.ok("POST", "/tokens", json={"name": "Zoe's"}))["token_id"]
    ids = {
        "campaign_id": campaign.id, "recipient_id": campaign.rid(number), "person_id": person, "token_id": token_id,
    }  # fmt: skip
    return Theirs(campaign, number, ids, manager)


@pytest.fixture
async def own(story: Story) -> AsyncIterator[tuple[Campaign, str]]:
    """A campaign that must be as it was, whatever is asked of it."""
    number = story.number()
    campaign = await story.campaign([number], text="Hi.")
    await story.settles(campaign, unprocessed=1)
    mia = await story.manager()
    before = await mia.ok("GET", f"/campaigns/{campaign.id}")
    yield campaign, number
    assert await mia.ok("GET", f"/campaigns/{campaign.id}") == before
    await story.settles(campaign, unprocessed=1)
    assert await story.ledger([number]) == []


def _ids(campaign: Campaign, number: str) -> dict[str, str]:
    return {"campaign_id": campaign.id, "recipient_id": campaign.rid(number), "person_id": str(uuid4()),
            "token_id": str(uuid4())}  # fmt: skip


def _of_the_account(routes: list[Route]) -> Iterator[Route]:
    """The routes that take JSON, but for those about a message or a hold: nobody was SENT, or said anything, so there
    is none (404 comes first)."""
    return (route for route in routes if route.takes_json and not route.path.startswith(("/unresolved", "/holds")))


async def test_no_bad_or_forged_token_is_401_on_every_route(
    story: Story, routes: list[Route], own: tuple[Campaign, str]
) -> None:
    mia = await story.manager()
    claims = jwt.decode(mia.token, options={"verify_signature": False})
    head, body, signature = mia.token.split(".")
    forged = {
        "no token": "",
        "nonsense": "Bearer nonsense",
        "another scheme": f"Basic {mia.token}",
        "another key": f"Bearer {jwt.encode(claims, 'a key that somebody has made up for himself', algorithm='HS256')}",
        "no signature": f"Bearer {jwt.encode(claims, '', algorithm='none')}",
        "a changed role": f"Bearer {head}.{body[:-4]}AAAA.{signature}",
    }
    for route in routes:
        url = f"{route.base}/api/v1{route.filled(_ids(*own))}"
        for why, header in forged.items():
            headers = {"Authorization": header} if header else {}
            async with story.http.request(route.method, url, headers=headers) as got:
                answer = read(got.status, got.content_type, await got.read())
            assert (answer.status, answer.code) == (401, "unauthorized"), (route, why)


async def test_another_accounts_ids_are_404_on_every_route_for_every_role(
    story: Story, routes: list[Route], theirs: Theirs
) -> None:
    users = await story.users(("Mia", "manager"), ("Sam", "sender"), ("Ann", "auditor"))
    body = {"confirm": "END", "recipients": [], "recipient_ids": [], "reason": "no", "resolution": "accepted"}

    async def is_unknown(route: Route, user: User) -> None:
        sent: dict[str, Any] = {"json": body} if route.method == "POST" else {}
        answer = await user.call(route.method, route.filled(theirs.ids), base=route.base, **sent)
        # SEND's own order of checks says the role first; everywhere else the unknown id comes first.
        role_first = route.path.endswith("/send") and user.name == "Ann"
        assert answer.status == (403 if role_first else 404), (route, user.name, answer)

    asked = [is_unknown(route, user) for route in routes if "{" in route.path for user in users]
    assert len(asked) > 60
    await asyncio.gather(*asked)
    shown = await theirs.manager.ok("GET", f"/campaigns/{theirs.campaign.id}")
    assert (shown["state"], shown["sending"], shown["recipients"]) == ("current", [], 1)
    tokens = (await theirs.manager.ok("GET", "/tokens"))["tokens"]
    assert theirs.ids["token_id"] in {one["token_id"] for one in tokens}
    listed = (await theirs.manager.ok("GET", "/opt-outs"))["opt_outs"]
    assert theirs.ids["person_id"] in {one["person_id"] for one in listed}


async def test_another_accounts_recipient_in_ones_own_campaign_is_404(
    story: Story, theirs: Theirs, own: tuple[Campaign, str]
) -> None:
    campaign, _ = own
    sam = await story.sending("Sam", campaign)
    rid = theirs.ids["recipient_id"]
    assert (await sam.call("POST", f"/campaigns/{campaign.id}/recipients/{rid}/send")).status == 404
    [result] = (await sam.ok("POST", f"/campaigns/{campaign.id}/send", json={"recipients": [{"recipient_id": rid}]}))[
        "results"
    ]
    assert result["status"] == 404
    assert (await sam.call("GET", f"/campaigns/{campaign.id}/recipients/{rid}/timeline")).status == 404
    assert (await sam.stops(campaign)).status < 300


async def test_a_role_that_may_not_is_403(story: Story, routes: list[Route], own: tuple[Campaign, str]) -> None:
    users = {
        "manager": await story.manager(),
        "sender": await story.user("Sam", "sender"),
        "auditor": await story.user("Ann", "auditor"),
    }
    mia = users["manager"]
    person = (await mia.ok("POST", "/opt-outs", json={"phone": story.number()}))["person_id"]
    ids = {**_ids(*own), "person_id": person}
    for route in routes:
        for role in READ - ROLES.get(route.name, READ):
            sent: dict[str, Any] = {"json": {"confirm": "END", "name": "No", "text": "No"}} if route.takes_json else {}
            answer = await users[role].call(route.method, route.filled(ids), base=route.base, **sent)
            assert (answer.status, answer.code) == (403, "forbidden"), (route, role)


async def test_ids_that_are_none_are_404_or_422_on_every_route(story: Story, routes: list[Route]) -> None:
    mia = await story.manager()
    body = {"confirm": "END", "recipients": [], "recipient_ids": [], "reason": "no", "resolution": "accepted"}

    async def is_refused(route: Route, bad: str) -> None:
        ids = dict.fromkeys(("campaign_id", "recipient_id", "person_id", "token_id"), bad)
        sent: dict[str, Any] = {"json": body} if route.method == "POST" else {}
        answer = await mia.call(route.method, route.filled(ids), base=route.base, **sent)
        assert answer.status in (404, 405, 422), (route, bad, answer)
        assert len(bad) != 36 or answer.status == 404, (route, answer)

    for bad in (str(uuid4()), "nonsense", "0", "%00", "..%2f..", "é", "x" * 500):
        await asyncio.gather(*(is_refused(route, bad) for route in routes if "{" in route.path))


@pytest.mark.parametrize("body", [b"{", b"nonsense", b'{"name": "x",}', b"\xff\xfe\x00", b'{"name": "\xff"}'])
async def test_malformed_json_is_400_on_every_route(
    story: Story, routes: list[Route], own: tuple[Campaign, str], body: bytes
) -> None:
    mia = await story.manager()
    asked = list(_of_the_account(routes))
    assert len(asked) >= 7
    for route in asked:
        headers = {"Content-Type": "application/json"}
        answer = await mia.call(route.method, route.filled(_ids(*own)), base=route.base, data=body, headers=headers)
        assert (answer.status, answer.code) == (400, "malformed_json"), (route, answer)


@pytest.mark.parametrize("body", ["[]", '"END"', "null", "7", '{"a": 1}', '{"name": {}, "confirm": {}, "limit": "x"}'])
async def test_json_of_another_shape_is_422_on_every_route_that_needs_one(
    story: Story, routes: list[Route], own: tuple[Campaign, str], body: str
) -> None:
    mia = await story.manager()
    for route in (route for route in _of_the_account(routes) if route.needs_body):
        headers = {"Content-Type": "application/json"}
        path = route.filled(_ids(*own))
        answer = await mia.call(route.method, path, base=route.base, data=body.encode(), headers=headers)
        assert answer.status == 422, (route, answer)


@pytest.mark.parametrize("chunked", [False, True], ids=["said", "chunked"])
async def test_huge_bodies_are_413_on_every_route(
    story: Story, routes: list[Route], own: tuple[Campaign, str], chunked: bool
) -> None:
    mia = await story.manager()
    huge = b'{"name": "' + b"x" * 3_000_000 + b'", "text": "Hi."}'

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(huge), 65536):
            yield huge[at : at + 65536]

    for route in _of_the_account(routes):
        headers = {"Content-Type": "application/json"}
        data: Any = pieces() if chunked else huge
        answer = await mia.call(route.method, route.filled(_ids(*own)), base=route.base, data=data, headers=headers)
        assert (answer.status, answer.code) == (413, "too_large"), (route, answer.status)


NOW = "2020-01-01T00:00:00"
FUTURE = (datetime.now(UTC) + timedelta(days=1)).replace(microsecond=0, tzinfo=None).isoformat()


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"scheduled_for": NOW + "Z"}, "time_in_past"),
        ({"scheduled_for": FUTURE}, "time_without_offset"),
        ({"scheduled_for": "tomorrow"}, "bad_time"),
        ({"scheduled_for": "2030-02-30T00:00:00Z"}, "bad_time"),
        ({"scheduled_for": "9999-12-31T23:59:59-23:59"}, "bad_time"),
        ({"scheduled_for": "2030-12-31T23:59:60Z"}, "bad_time"),
        ({"scheduled_for": "2030-07-01T12:00:00-05:00[America/New_York]"}, "wrong_offset"),
        ({"scheduled_for": "2030-03-10T02:30:00-05:00[America/New_York]"}, "time_skipped"),
        ({"scheduled_for": "2030-07-01T12:00:00-04:00[Mars/Olympus]"}, "unknown_zone"),
        ({"scheduled_for": 1893456000}, "invalid"),
        ({"name": ""}, "bad_name"),
        ({"name": "x" * 201}, "bad_name"),
        ({"name": "two\nlines"}, "bad_name"),
        ({"name": None}, "invalid"),
        ({"text": ""}, "empty_text"),
        ({"text": " \n"}, "empty_text"),
        ({"text": "Hi {name"}, "unbalanced_brace"),
        ({"text": "Hi }"}, "unbalanced_brace"),
        ({"text": "Hi {}"}, "empty_field"),
        ({"text": "x" * 1601}, "text_too_long"),
        ({"text": "Hi \0"}, "unsendable_character"),
        ({"text": ["Hi"]}, "invalid"),
        ({"sender": "not a number"}, "bad_sender"),
        ({"sender": 12025550100}, "invalid"),
    ],
    ids=str,
)
async def test_a_campaign_that_cannot_be_is_422(story: Story, changed: dict[str, Any], code: str) -> None:
    mia = await story.manager()
    before = await mia.ok("GET", "/campaigns")
    refused = await mia.call("POST", "/campaigns", json={"name": "Spring", "text": "Hi.", **changed})
    assert (refused.status, refused.code) == (422, code)
    assert await mia.ok("GET", "/campaigns") == before


async def test_a_sender_number_of_another_account_is_refused(story: Story, theirs: Theirs) -> None:
    mia = await story.manager()
    asked = {"name": "Spring", "text": "Hi.", "sender": theirs.campaign.sender}
    refused = await mia.call("POST", "/campaigns", json=asked)
    assert (refused.status, refused.code) == (422, "foreign_sender")


async def test_more_than_500_in_a_batch_is_422_and_sends_nobody(story: Story) -> None:
    people = story.numbers(501)
    campaign = await story.campaign(people)
    sam = await story.sending("Sam", campaign)
    asked = {"recipients": [{"recipient_id": campaign.rid(number)} for number in people]}
    refused = await sam.call("POST", f"/campaigns/{campaign.id}/send", json=asked)
    assert (refused.status, refused.code) == (422, "too_many")
    await story.settles(campaign, unprocessed=501)
    for limit in (0, -1, 501, "many", 1.5):
        refused = await sam.call("POST", f"/campaigns/{campaign.id}/sending/next", json={"limit": limit})
        assert refused.status == 422, limit


async def test_a_phone_that_is_none_opts_nobody_out(story: Story) -> None:
    mia = await story.manager()
    before = await mia.ok("GET", "/opt-outs")
    for asked in ({"phone": "555-0123"}, {"phone": ""}, {"phone": "call me"}, {"phone": None}, {}):
        assert (await mia.call("POST", "/opt-outs", json=asked)).status == 422
    assert await mia.ok("GET", "/opt-outs") == before
    assert (await mia.call("GET", "/campaigns?state=happy")).status == 422


async def test_a_path_or_method_that_is_none_is_a_problem(story: Story) -> None:
    mia = await story.manager()
    for port in SERVICES.values():
        assert (await mia.call("GET", "/nothing/here", base=story.running.url(port))).code == "not_found"
    assert (await mia.call("PATCH", "/campaigns")).status == 405
    assert (await mia.call("PUT", f"/campaigns/{uuid4()}")).status == 405


async def test_webhooks_that_the_carrier_did_not_sign_are_403(story: Story, own: tuple[Campaign, str]) -> None:
    campaign, number = own
    form = {"MessageSid": "SM1", "From": number, "To": campaign.sender, "Body": "STOP", "MessageStatus": "delivered"}
    for path in ("/webhooks/twilio/status", "/webhooks/twilio/inbound"):
        for base in (story.running.url(), story.running.url("DISPATCHER_PORT")):
            for headers in ({}, {"X-Twilio-Signature": "AAAA"}):
                async with story.http.post(base + path, data=form, headers=headers) as got:
                    answer = read(got.status, got.content_type, await got.read())
                assert answer.status == 403, (base, path)
    mia = await story.manager()
    assert number not in {one["phone"] for one in (await mia.ok("GET", "/opt-outs"))["opt_outs"]}


async def test_a_token_is_good_at_every_service_and_an_older_one_stays_so(story: Story) -> None:
    mia = await story.manager()
    newer = replace(mia, token=story.running.token("Mia", "manager", story.account))
    assert newer.token != mia.token
    for user in (mia, newer):
        assert (await user.call("GET", "/campaigns")).status == 200
        assert (await user.call("GET", "/opt-outs", base=story.running.url("DISPATCHER_PORT"))).status == 200
