"""`handsent user` and `handsent token`: passwords, and the end of tokens."""

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from click.testing import CliRunner, Result
from handsent.__main__ import main
from kernel import database
from kernel.outbox import unpack
from kernel.tokens import Role, admit
from send_intake import store_tokens
from send_intake.app_passwords import Passwords

from schemas.codec import decode
from schemas.events import Event
from tests.integration.cli.conftest import SETTINGS, Handsent

KEY = SETTINGS["TOKEN_KEY"]


@pytest.fixture(autouse=True)
def nobody_relays(monkeypatch: pytest.MonkeyPatch) -> None:
    """No service runs here: waiting for the log would take its whole patience each time."""
    monkeypatch.setattr(store_tokens.in_the_log, "__defaults__", (0.05,))


def in_database(settings: dict[str, str], statement: str) -> list[asyncpg.Record]:
    async def asked() -> list[asyncpg.Record]:
        connection = await database.connect(settings["DATABASE_URL"], "send_intake")
        try:
            return list(await connection.fetch(statement))
        finally:
            await connection.close()

    return asyncio.run(asked())


def events(settings: dict[str, str]) -> list[Event]:
    rows = in_database(settings, "SELECT events FROM outbox WHERE topic = 'access'")
    return [decode(value) for row in rows for _, value in unpack(row["events"])]


def ended(settings: dict[str, str]) -> set[str]:
    """The ids of the tokens that the outbox says were ended."""
    return {event.token_id for event in events(settings)}  # type: ignore[union-attr]


def add(handsent: Handsent, name: str, *options: str) -> str:
    token = handsent("user", "add", name, *options).stdout.strip()
    return admit(KEY, token).token_id


def password(settings: dict[str, str], name: str, given: str) -> Result:
    return CliRunner().invoke(main, ["user", "password", name], env=settings, input=given)


def test_a_token_lives_as_long_as_it_is_told_to(handsent: Handsent) -> None:
    for options, days in (((), 90), (("--days", "2"), 2)):
        token = handsent("user", "add", "Ada", *options).stdout.strip()
        left = datetime.fromtimestamp(admit(KEY, token).expires_at, UTC) - datetime.now(UTC)
        assert timedelta(days=days) - timedelta(minutes=1) < left <= timedelta(days=days)
    handsent("user", "add", "Ada", "--days", "0", exit_code=2)


def test_a_password_is_read_from_stdin_and_kept_as_argon2id(handsent: Handsent, settings: dict[str, str]) -> None:
    add(handsent, "Ada")
    said = password(settings, "Ada", "correct horse battery staple\n")
    assert said.exit_code == 0 and "correct horse" not in said.output
    [row] = in_database(settings, "SELECT password_hash FROM users")
    assert row["password_hash"].startswith("$argon2id$")
    assert asyncio.run(Passwords().is_right("correct horse battery staple", row["password_hash"]))


def test_a_password_is_no_argument_and_not_a_short_one(handsent: Handsent, settings: dict[str, str]) -> None:
    add(handsent, "Ada")
    handsent("user", "password", "Ada", "correct horse battery staple", exit_code=2)
    assert "12 to 1024" in password(settings, "Ada", "short\n").output
    assert "nobody in the account demo is called Eve" in password(settings, "Eve", "long enough a password\n").output


def test_tokens_are_listed_without_themselves_and_ended_by_their_id(
    handsent: Handsent, settings: dict[str, str]
) -> None:
    first = add(handsent, "Ada")
    made = handsent("token", "add", "Ada", "--name", "nightly export", "--days", "7")
    second = admit(KEY, made.stdout.strip()).token_id
    listed = handsent("token", "list").stdout
    assert first in listed and second in listed and "nightly export" in listed and "eyJ" not in listed
    assert "as soon as send-intake and Kafka run" in handsent("token", "revoke", second).stderr
    assert second not in handsent("token", "list").stdout
    assert ended(settings) == {second}
    assert "0 tokens ended" in handsent("token", "revoke", second).stderr
    handsent("token", "revoke", "6f1a1c1e-8f0c-5c55-9d0e-2a5e0b7a4e11", exit_code=1)
    handsent("token", "add", "Nobody", exit_code=1)
    assert handsent("token", "list", "--account", "no such").stdout == ""


def test_signing_somebody_out_ends_all_they_have_and_nobody_else_s(
    handsent: Handsent, settings: dict[str, str]
) -> None:
    adas = {add(handsent, "Ada") for _ in range(3)}
    add(handsent, "Bob")
    assert "3 tokens ended" in handsent("user", "sign-out", "Ada").stderr
    assert ended(settings) == adas
    handsent("token", "add", "Ada")


def test_a_disabled_user_gets_no_token_until_added_again(handsent: Handsent, settings: dict[str, str]) -> None:
    token_id = add(handsent, "Ada", "--oidc-subject", "ada@issuer")
    handsent("user", "disable", "Ada")
    assert ended(settings) == {token_id}
    assert "is disabled" in handsent("token", "add", "Ada", exit_code=1).stderr
    assert "disabled" in handsent("user", "list").stdout
    add(handsent, "Ada", "--role", "auditor")
    assert handsent("user", "list").stdout.split("\t")[:2] == ["Ada", "auditor"]
    handsent("user", "disable", "Nobody", exit_code=1)


def test_another_role_ends_what_was_made_under_the_former_and_says_so(
    handsent: Handsent, settings: dict[str, str]
) -> None:
    managers = {add(handsent, "Bob", "--role", "manager") for _ in range(2)}
    add(handsent, "Mia", "--role", "manager")
    said = handsent("user", "add", "Bob", "--role", "sender")
    assert admit(KEY, said.stdout.strip()).user.role is Role.SENDER, "alone on stdout"
    assert "Bob is no manager any more: 2 tokens ended" in said.stderr.splitlines()
    assert ended(settings) == managers
    [actor] = {event.actor for event in events(settings)}
    assert actor == "handsent"
    assert "any more" not in handsent("user", "add", "Bob", "--role", "sender").stderr
    assert ended(settings) == managers, "the same role again ends nothing"


def test_a_role_that_cannot_be_given_ends_nothing(handsent: Handsent, settings: dict[str, str]) -> None:
    add(handsent, "Ada", "--oidc-subject", "subject")
    add(handsent, "Bob", "--role", "manager")
    handsent("user", "add", "Bob", "--role", "sender", "--oidc-subject", "subject", exit_code=1)
    assert ended(settings) == set()
    assert "Bob\tmanager\t1 tokens" in handsent("user", "list").stdout


def test_an_identity_belongs_to_one_user(handsent: Handsent, settings: dict[str, str]) -> None:
    add(handsent, "Ada", "--oidc-subject", "subject")
    add(handsent, "Ada", "--oidc-subject", "subject")
    said = handsent("user", "add", "Bob", "--account", "acme", "--oidc-subject", "subject", exit_code=1)
    assert "linked to another user" in said.stderr
    assert not in_database(settings, "SELECT 1 FROM users WHERE name = 'Bob'")
