"""`handsent user add`."""

import subprocess
import sys

import pytest
from kernel.tokens import Role, verify

from tests.integration.cli.conftest import SETTINGS, Handsent

KEY = SETTINGS["TOKEN_KEY"]


def test_a_token_stands_alone_on_stdout_before_any_service_ever_ran(settings: dict[str, str]) -> None:
    command = [sys.executable, "-m", "handsent", "user", "add", "Ada Byron", "--role", "manager"]
    done = subprocess.run(command, env={"PATH": "", **settings}, capture_output=True, text=True, check=True, timeout=60)
    [token] = done.stdout.splitlines()
    user = verify(KEY, token)
    assert (user.name, user.role) == ("Ada Byron", Role.MANAGER)
    assert "Ada Byron" in done.stderr and token not in done.stderr


def test_a_user_added_again_is_the_same_with_another_token(handsent: Handsent) -> None:
    first, second = (handsent("user", "add", "Ada").stdout.strip() for _ in range(2))
    assert first != second
    assert verify(KEY, first) == verify(KEY, second)
    assert verify(KEY, first).role is Role.SENDER


def test_an_unknown_account_is_made_and_names_are_its_own(handsent: Handsent) -> None:
    here, there = (verify(KEY, handsent("user", "add", "Ada", "--account", a).stdout.strip()) for a in ("demo", "acme"))
    assert here.account_id != there.account_id
    assert here.user_id != there.user_id
    assert verify(KEY, handsent("user", "add", "Bob").stdout.strip()).account_id == here.account_id


@pytest.mark.parametrize("name", ["", "  ", "a\tb", "a\nb", "\x1b[31mred", "x" * 101, "a\u202eb"])
def test_a_name_nobody_has_is_refused(handsent: Handsent, name: str) -> None:
    assert "printable characters" in handsent("user", "add", name, exit_code=2).stderr
    assert handsent("user", "add", "Ada", "--account", name, exit_code=2).stdout == ""


def test_without_a_stack_it_is_one_clear_line(handsent: Handsent) -> None:
    said = handsent("user", "add", "Ada", exit_code=2, DATABASE_URL="", KAFKA_BOOTSTRAP="")
    assert said.stdout == ""
    [line] = said.stderr.splitlines()
    assert "no stack runs in" in line and "DATABASE_URL" in line


def test_a_database_that_is_away_is_one_clear_line(handsent: Handsent) -> None:
    said = handsent("user", "add", "Ada", exit_code=1, DATABASE_URL="postgresql://nobody@127.0.0.1:1/nothing")
    assert len(said.stderr.splitlines()) == 1
