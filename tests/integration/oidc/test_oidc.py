"""People and services come in by way of a real issuer; nobody comes in by way of what only looks like one."""

import base64
import hashlib
import hmac
import json
import re
import time
from typing import Any
from uuid import uuid4

import aiohttp
import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from kernel.testing import eventually
from kernel.tokens import Role, verify

from tests.integration.access.world import TOKEN_KEY, Door
from tests.integration.oidc.issuer import AUDIENCE, CLIENT_ID, SERVICE_ID, SERVICE_SECRET, Issuer, Key

COOKIE = "handsent_session"


async def at_the_issuer(http: aiohttp.ClientSession, page: str, url: str, subject: str) -> tuple[str, str]:
    """Fills in the issuer's forms until it sends the browser away from its own pages: the last page, and its URL."""
    while form := re.search(r'<form[^>]* action="([^"]+)"', page):
        if "/interaction/" not in url:
            break
        fields = (
            {"prompt": "login", "login": subject, "password": "any"}
            if 'name="login"' in page
            else {"prompt": "consent"}
        )
        async with http.post(form[1], data=fields) as answer:
            page, url = await answer.text(), str(answer.url)
    return page, url


async def sign_in(door: Door, subject: str) -> tuple[int, str]:
    """As a person does it: the link on the page, the issuer's pages, and back; what the callback answered."""
    async with door.http.get(f"{door.services.url}/sign-in") as answer:
        assert 'href="/oidc/start"' in await answer.text()
    async with door.http.get(f"{door.services.url}/oidc/start") as answer:
        page, url = await answer.text(), str(answer.url)
    page, url = await at_the_issuer(door.http, page, url, subject)
    assert url.startswith(f"{door.services.url}/oidc/callback?"), page
    return (200 if "Go on" in page else 401), page


def cookie(door: Door) -> str:
    return next((each.value for each in door.http.cookie_jar if each.key == COOKIE), "")


def forged(
    issuer: Issuer, subject: str, key: Any = None, alg: str = "RS256", kid: str | None = "", **changed: Any
) -> str:
    """A token as the issuer makes them, but for what is `changed`; with its own key unless another is given."""
    now = int(time.time())
    claims = {"iss": issuer.url, "sub": subject, "aud": AUDIENCE, "iat": now, "exp": now + 600, **changed}
    claims = {name: value for name, value in claims.items() if value is not None}
    named = {} if kid is None else {"kid": kid or issuer.key.key_id}
    headers = {**named, "typ": changed.get("typ", "at+jwt")}
    return jwt.encode(claims, key or issuer.key.private, algorithm=alg, headers=headers)


async def exchange(door: Door, token: str) -> tuple[int, Any]:
    return await door.ask("POST", "/sessions", json={"oidc_token": token})


async def linked(door: Door, role: Role = Role.SENDER) -> str:
    """The subject of somebody who is linked to a user."""
    subject = f"subject-{uuid4().hex[:8]}"
    await door.user("Ada", role, oidc_subject=subject)
    return subject


async def service_token(door: Door, issuer: Issuer, audience: str = AUDIENCE) -> str:
    """What the issuer gives a service that shows its own credentials."""
    form = {"grant_type": "client_credentials", "resource": f"urn:api:{audience}"}
    headers = {"Authorization": aiohttp.encode_basic_auth(SERVICE_ID, SERVICE_SECRET)}
    async with door.http.post(f"{issuer.url}/token", data=form, headers=headers) as answer:
        said = await answer.json()
        assert answer.status == 200, said
        return str(said["access_token"])


# --- people ----------------------------------------------------------------------------------------------


async def test_a_person_signs_in_at_the_issuer_and_is_the_linked_user_here(door: Door) -> None:
    subject = await linked(door, Role.AUDITOR)
    status, page = await sign_in(door, subject)
    assert status == 200, page
    user = verify(TOKEN_KEY, cookie(door))
    assert (user.name, user.role) == ("Ada", Role.AUDITOR)
    async with door.http.get(f"{door.services.url}/") as answer:
        assert "<span>Ada " in await answer.text()
    assert (await door.ask("GET", "/campaigns"))[0] == 200


async def test_whom_nobody_linked_is_not_let_in(door: Door) -> None:
    status, page = await sign_in(door, f"stranger-{uuid4().hex[:8]}")
    assert status == 401 and 'role="alert"' in page and not cookie(door)


async def test_a_disabled_user_is_not_let_in(door: Door) -> None:
    subject = await linked(door)
    connection = await door.connection()
    await connection.execute("UPDATE users SET disabled_at = now() WHERE oidc_subject = $1", subject)
    await connection.close()
    assert (await sign_in(door, subject))[0] == 401


async def test_a_callback_that_this_browser_did_not_ask_for_signs_nobody_in(door: Door, issuer: Issuer) -> None:
    """An attacker's own code, put into somebody else's browser, would sign them in as the attacker."""
    callback = f"{door.services.url}/oidc/callback"
    for query in ("", "?code=x&state=y", "?error=access_denied&state=y", "?code=x&state=é"):
        async with door.http.get(callback + query) as answer:
            assert answer.status == 401 and not cookie(door)
    async with door.http.get(f"{door.services.url}/oidc/start", allow_redirects=False) as answer:
        asked = answer.headers["Location"]
        assert "HttpOnly" in answer.headers["Set-Cookie"] and "SameSite=lax" in answer.headers["Set-Cookie"]
    assert asked.startswith(issuer.url) and "code_challenge_method=S256" in asked and "nonce=" in asked
    async with door.http.get(f"{callback}?code=x&state=another") as answer:
        assert answer.status == 401 and not cookie(door)


async def test_a_code_is_good_once(door: Door) -> None:
    subject = await linked(door)
    async with door.http.get(f"{door.services.url}/oidc/start") as answer:
        page, url = await answer.text(), str(answer.url)
    page, url = await at_the_issuer(door.http, page, url, subject)
    assert cookie(door)
    door.http.cookie_jar.clear(lambda each: each.key == COOKIE)
    async with door.http.get(url) as answer:
        assert answer.status == 401 and not cookie(door)


# --- services --------------------------------------------------------------------------------------------


async def test_a_service_exchanges_the_issuer_s_token_for_one_of_ours(door: Door, issuer: Issuer) -> None:
    account = door.account
    await door.user("A service", Role.AUDITOR, account=account, oidc_subject=SERVICE_ID)
    status, made = await exchange(door, await service_token(door, issuer))
    assert status == 201, made
    assert (made["user"], made["role"]) == ("A service", "auditor")
    assert (await door.let_in(made["token"]))["send_intake"]


async def test_a_token_made_for_another_audience_is_refused(door: Door, issuer: Issuer) -> None:
    assert (await exchange(door, await service_token(door, issuer, "another-api")))[0] == 401


async def test_the_issuer_s_own_token_is_no_bearer_token_of_ours(door: Door, issuer: Issuer) -> None:
    assert not (await door.let_in(await service_token(door, issuer)))["send_intake"]


async def test_a_token_as_the_issuer_makes_them_is_taken(door: Door, issuer: Issuer) -> None:
    subject = await linked(door)
    assert (await exchange(door, forged(issuer, subject)))[0] == 201
    assert (await exchange(door, forged(issuer, subject, aud=CLIENT_ID)))[0] == 201
    several = forged(issuer, subject, aud=["another-api", AUDIENCE], azp="a-service")
    assert (await exchange(door, several))[0] == 201, "as some issuers write it"
    assert (await exchange(door, forged(issuer, subject, alg="PS256")))[0] == 201
    assert (await exchange(door, forged(issuer, subject, kid=None)))[0] == 201, "the issuer has one key"


def part(content: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


def public_pem(issuer: Issuer) -> bytes:
    return issuer.key.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def hs256(issuer: Issuer, subject: str) -> str:
    """Signed with the public key as if it were a secret, which the library would refuse to do for us."""
    now = int(time.time())
    claims = {"iss": issuer.url, "sub": subject, "aud": AUDIENCE, "iat": now, "exp": now + 600}
    head = f"{part({'alg': 'HS256', 'typ': 'JWT', 'kid': issuer.key.key_id})}.{part(claims)}"
    seal = hmac.digest(public_pem(issuer), head.encode(), hashlib.sha256)
    return f"{head}.{base64.urlsafe_b64encode(seal).decode().rstrip('=')}"


def unsigned(issuer: Issuer, subject: str) -> str:
    claims = forged(issuer, subject).split(".")[1]
    return f"{part({'alg': 'none', 'typ': 'JWT', 'kid': issuer.key.key_id})}.{claims}."


OTHERS = Key("first")
FORGERIES = {
    "another audience": lambda i, s: forged(i, s, aud="another-api"),
    "no audience": lambda i, s: forged(i, s, aud=None),
    "expired": lambda i, s: forged(i, s, exp=int(time.time()) - 60),
    "without an end": lambda i, s: forged(i, s, exp=None),
    "not yet good": lambda i, s: forged(i, s, nbf=int(time.time()) + 600),
    "of another issuer": lambda i, s: forged(i, s, iss="https://elsewhere.example"),
    "of no subject": lambda i, s: forged(i, s, sub=None),
    "of a subject nobody linked": lambda i, s: forged(i, "nobody's"),
    "signed with another key of the same id": lambda i, s: forged(i, s, OTHERS.private),
    "signed with a key nobody publishes": lambda i, s: forged(i, s, OTHERS.private, kid="unknown"),
    "of another kind": lambda i, s: forged(i, s, typ="logout+jwt"),
    "alg none": unsigned,
    "HS256 with the public key as secret": hs256,
    "cut": lambda i, s: forged(i, s)[:-3],
    "no token": lambda i, s: "a.b.c",
    "no JWT at all": lambda i, s: "é\u202e",
}


@pytest.mark.parametrize("which", FORGERIES)
async def test_no_other_token_is_taken(door: Door, issuer: Issuer, which: str) -> None:
    subject = await linked(door)
    status, said = await exchange(door, FORGERIES[which](issuer, subject))
    assert (status, said["code"]) == (401, "sign_in_failed")


async def test_rotated_keys_are_fetched_and_the_old_ones_no_longer_believed(door: Door, issuer: Issuer) -> None:
    subject, old = await linked(door), issuer.key
    issuer.stop()
    assert (await exchange(door, forged(issuer, subject)))[0] == 201, "known keys do without the issuer"
    issuer.start(Key("second"))

    async def taken() -> bool:
        return (await exchange(door, forged(issuer, subject)))[0] == 201

    await eventually(taken, "the new key", 10)
    assert (await exchange(door, forged(issuer, subject, old.private, kid="first")))[0] == 401


async def test_an_issuer_that_is_away_is_said_so(door: Door, issuer: Issuer) -> None:
    issuer.stop()
    unknown = forged(issuer, "x", OTHERS.private, kid=uuid4().hex)

    async def said() -> bool:
        return (await exchange(door, unknown))[1]["code"] == "issuer_away"

    await eventually(said, "503 once it is asked again", 10)
    assert (await door.ask("GET", "/campaigns", await door.token("Ada")))[0] == 200, "whoever is in stays in"
    issuer.start()
