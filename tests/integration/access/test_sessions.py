"""Signing in by password and out, tokens over the API, and how soon an ended one is refused by every service."""

import asyncio
import re
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from kernel.testing import eventually
from kernel.tokens import Role, issue, verify
from send_intake import store_tokens
from send_intake.store_tokens import Kind, NotAllowed

from tests.integration.access.world import PASSWORD, PORTS, TOKEN_KEY, Door

EVERYWHERE = dict.fromkeys(PORTS, True)


async def test_a_password_leads_to_a_session_of_twelve_hours_that_every_service_takes(door: Door) -> None:
    ada = await door.with_password("Ada", Role.MANAGER)
    status, made = await door.sign_in("Ada")
    assert status == 201
    assert verify(TOKEN_KEY, made["token"]) == ada
    assert (made["user"], made["role"], made["kind"]) == ("Ada", "manager", "session")
    life = datetime.fromisoformat(made["expires_at"]) - datetime.now(UTC)
    assert timedelta(hours=11, minutes=59) < life <= timedelta(hours=12)
    assert await door.let_in(made["token"], *PORTS) == EVERYWHERE


async def test_signing_out_ends_the_session_everywhere_and_no_other(door: Door) -> None:
    await door.with_password("Ada")
    here, there = await door.session("Ada"), await door.session("Ada")
    status, said = await door.ask("DELETE", "/sessions/current", here)
    assert (status, said["everywhere"]) == (200, True)
    assert await door.let_in(here) == {"send_intake": False}
    answered = time.monotonic()
    await eventually(lambda: door.everywhere_refused(here), "the end of the session everywhere", 2)
    assert time.monotonic() - answered < 2
    assert await door.let_in(there, *PORTS) == EVERYWHERE
    assert (await door.ask("DELETE", "/sessions/current", here))[0] == 401


async def test_nobody_learns_whether_there_is_an_account_a_name_or_a_password(door: Door) -> None:
    await door.with_password("Ada")
    await door.user("Bob has no password")
    await door.with_password("Eve")
    connection = await door.connection()
    await connection.execute("UPDATE users SET disabled_at = now() WHERE name = 'Eve'")
    await connection.close()
    answers = [
        await door.sign_in("Ada", "not the password"),
        await door.sign_in("Bob has no password"),
        await door.sign_in("Nobody"),
        await door.sign_in("Ada", account="no such account"),
        await door.sign_in("Eve"),
        await door.sign_in("Ada' OR 'a'='a"),
    ]
    assert all(answer == answers[0] for answer in answers)
    assert answers[0][0] == 401 and answers[0][1]["code"] == "sign_in_failed"


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"account": "a", "name": "b"},
        {"account": "a", "name": "b", "password": ""},
        {"account": "a", "name": "b", "password": "x" * 1025},
        {"account": "a", "name": "b", "password": 1},
        {"account": "a\0", "name": "b", "password": "c"},
        {"account": "a", "name": "\ud800", "password": "c"},
        {"account": "a", "name": "b", "password": "c", "oidc_token": "d"},
    ],
)
async def test_what_cannot_sign_anybody_in_is_no_fault_of_ours(door: Door, asked: dict[str, Any]) -> None:
    status, said = await door.ask("POST", "/sessions", json=asked)
    assert status in (400, 422), said


async def test_odd_passwords_are_only_wrong(door: Door) -> None:
    await door.with_password("Ada")
    for password in ("\0", "é" * 1024, "\u202e", "' OR 1=1 --"):
        assert (await door.sign_in("Ada", password))[0] == 401
    assert (await door.sign_in("Ada"))[0] == 201


async def test_the_sixth_wrong_password_in_a_row_must_wait_also_the_right_one(door: Door) -> None:
    await door.with_password("Ada")
    wrong = await asyncio.gather(*(door.sign_in("Ada", "wrong") for _ in range(12)))
    statuses = sorted(status for status, _ in wrong)
    assert statuses == [401] * 5 + [429] * 7, "however many come at once"
    status, said = await door.sign_in("Ada")
    assert (status, said["code"]) == (429, "too_many_tries") and 0 < said["retry_after_s"] <= 60
    assert [status for status, _ in [await door.sign_in("Nobody", "wrong") for _ in range(6)]] == [401] * 5 + [429]


async def test_the_right_password_wipes_the_wrong_ones_away(door: Door) -> None:
    await door.with_password("Ada")
    for _ in range(3):
        for _ in range(4):
            assert (await door.sign_in("Ada", "wrong"))[0] == 401
        assert (await door.sign_in("Ada"))[0] == 201


async def test_a_token_is_shown_once_and_only_its_hash_is_kept(door: Door) -> None:
    token = await door.token("Ada")
    status, made = await door.ask("POST", "/tokens", token, json={"name": "nightly export", "days": 7})
    assert (status, made["name"], made["kind"]) == (201, "nightly export", "token")
    assert await door.let_in(made["token"], *PORTS) == EVERYWHERE
    status, listed = await door.ask("GET", "/tokens", token)
    assert status == 200 and made["token"] not in str(listed)
    assert [(each["name"], each["current"]) for each in listed["tokens"]] == [
        ("nightly export", False), ("handsent user add", True),
    ]  # fmt: skip
    connection = await door.connection()
    kept = str([dict(row) for row in await connection.fetch("SELECT * FROM tokens")])
    await connection.close()
    assert made["token"] not in kept and made["token"] not in door.services.logs()


async def test_a_user_ends_their_own_tokens_and_a_manager_everybody_s(door: Door) -> None:
    ada, bob, mia = (
        await door.token("Ada"),
        await door.token("Bob", Role.AUDITOR),
        await door.token("Mia", Role.MANAGER),
    )
    stranger = await door.token("Mia", Role.MANAGER, account=f"{door.account} 2")
    _, made = await door.ask("POST", "/tokens", bob, json={"name": "Bob's"})
    path = f"/tokens/{made['token_id']}"
    for other in (ada, stranger):
        assert (await door.ask("DELETE", path, other))[0] == 404
    assert made["token_id"] not in str(await door.ask("GET", "/tokens", ada))
    assert made["token_id"] not in str(await door.ask("GET", "/tokens", stranger))
    assert made["token_id"] in str(await door.ask("GET", "/tokens", mia))
    assert (await door.let_in(made["token"]))["send_intake"]
    for _ in range(2):
        assert (await door.ask("DELETE", path, mia))[0] == 200
    assert not (await door.let_in(made["token"]))["send_intake"]
    assert (await door.ask("DELETE", "/tokens/no-id-at-all", mia))[0] == 404


async def test_what_was_made_with_a_token_ends_with_it_and_no_later(door: Door) -> None:
    token = await door.token("Ada", life=timedelta(days=1))
    _, child = await door.ask("POST", "/tokens", token, json={"name": "child", "days": 300})
    _, grandchild = await door.ask("POST", "/tokens", child["token"], json={"name": "grandchild"})
    assert datetime.fromisoformat(grandchild["expires_at"]) <= datetime.now(UTC) + timedelta(days=1)
    await door.ask("DELETE", "/sessions/current", token)
    for each in (token, child["token"], grandchild["token"]):
        await eventually(lambda each=each: door.everywhere_refused(each), "the end of all three", 2)


async def test_a_token_made_in_a_session_outlives_the_session(door: Door) -> None:
    await door.with_password("Ada")
    session = await door.session("Ada")
    _, made = await door.ask("POST", "/tokens", session, json={"name": "mine"})
    await door.ask("DELETE", "/sessions/current", session)
    assert await door.let_in(made["token"], *PORTS) == EVERYWHERE


async def test_another_role_ends_what_was_made_under_the_former_and_makes_no_more(door: Door) -> None:
    await door.with_password("Bob", Role.MANAGER)
    session, mia = await door.session("Bob"), await door.token("Mia", Role.MANAGER)
    _, made = await door.ask("POST", "/tokens", session, json={"name": "a manager's", "days": 366})
    now = await door.token("Bob", Role.SENDER)
    for former in (session, made["token"]):
        await eventually(lambda former=former: door.everywhere_refused(former), "the end of the former role", 2)
    assert (await door.ask("POST", "/tokens", session, json={"name": "one more"}))[0] == 401
    _, listed = await door.ask("GET", "/tokens", mia)
    assert [each["name"] for each in listed["tokens"] if each["user"] == "Bob"] == ["handsent user add"]
    again = await door.session("Bob")
    assert verify(TOKEN_KEY, again).role is Role.SENDER
    await door.token("Bob", Role.SENDER)
    for each in (now, again, mia):
        assert await door.let_in(each, *PORTS) == EVERYWHERE, "the same role again ends nothing"


async def test_a_service_that_has_not_heard_of_the_end_makes_no_token_of_the_former_role(door: Door) -> None:
    bob = await door.user("Bob", Role.MANAGER)
    await door.token("Bob", Role.SENDER)
    connection = await door.connection()
    try:
        for kind in Kind:
            with pytest.raises(NotAllowed):
                await store_tokens.make(connection, TOKEN_KEY, bob, kind, "late", timedelta(days=365))
    finally:
        await connection.close()


async def test_no_service_takes_an_expired_token(door: Door) -> None:
    user = await door.user("Ada")
    expired = issue(TOKEN_KEY, user, "t", datetime.now(UTC) - timedelta(seconds=1))
    assert await door.everywhere_refused(expired)
    brief = issue(TOKEN_KEY, user, "t2", datetime.now(UTC) + timedelta(seconds=2))
    assert await door.let_in(brief, *PORTS) == EVERYWHERE, "and so it was remembered"
    await eventually(lambda: door.everywhere_refused(brief), "the end of its life", 5)


@pytest.mark.parametrize("token_id", ["g", "0f4d5a52-6f2c-5a5e-9a3e-0c6c2f1f6d10"])
async def test_a_token_that_we_signed_but_nobody_made_makes_no_other(door: Door, token_id: str) -> None:
    ghost = issue(TOKEN_KEY, await door.user("Ada"), token_id)
    assert (await door.ask("POST", "/tokens", ghost, json={"name": "x"}))[0] == 401
    assert (await door.ask("DELETE", "/sessions/current", ghost))[0] == 404


async def test_no_log_line_has_a_password_or_a_token(door: Door) -> None:
    await door.with_password("Ada")
    session = await door.session("Ada")
    await door.sign_in("Ada", "a wrong password that nobody logs")
    await door.ask("DELETE", "/sessions/current", session)
    logs = door.services.logs()
    assert PASSWORD not in logs and "nobody logs" not in logs and not re.search(r"eyJ[\w-]{10,}\.", logs)
