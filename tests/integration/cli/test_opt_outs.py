"""`handsent opt-outs`, against a real dispatcher."""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from dispatcher import store, store_replies
from dispatcher.keywords import Verdict
from dispatcher.store_replies import Reply, Sealer
from kernel.testing import VAULT_KEY
from kernel.vault import open_vault

from tests.integration.cli.conftest import Handsent
from tests.integration.dispatcher.world import ENVIRONMENT, Stack

ADA, BOB, EVE = "+12025550101", "+12025550102", "+12025550103"


@pytest.fixture
def dispatcher(database_url: str, kafka: str, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The settings that name a dispatcher at work."""
    stack = Stack(tmp_path, database_url, kafka)
    stack.dispatcher.start()
    yield {"DISPATCHER_URL": stack.url} | {name: ENVIRONMENT[name] for name in ("TOKEN_KEY", "PERSON_ID_SECRET")}
    stack.dispatcher.stop()


def test_people_opt_out_and_in_by_hand_and_by_list(
    handsent: Handsent, dispatcher: dict[str, str], tmp_path: Path
) -> None:
    def opt_outs(*arguments: str, exit_code: int = 0) -> str:
        said = handsent("opt-outs", *arguments, exit_code=exit_code, **dispatcher)
        return said.stdout if exit_code == 0 else said.output

    assert "no account is called demo" in opt_outs("export", exit_code=1)
    handsent("user", "add", "Ada", **dispatcher)
    person = opt_outs("add", "(202) 555-0101", "--reason", "she called").strip()
    assert opt_outs("add", ADA).strip() == person, "a repeat is nothing"
    listed = tmp_path / "list.csv"
    listed.write_text(f"phone,reason\n{ADA},again\n{BOB},moved\n{EVE},\n12345,too short\n")
    assert "added 2, already there 1, rejected 1" in opt_outs("import", str(listed), exit_code=1)
    assert "line 5" in opt_outs("import", str(listed), exit_code=1)
    exported = tmp_path / "out.csv"
    opt_outs("export", str(exported))
    assert exported.read_text() == opt_outs("export")
    assert all(phone in exported.read_text() for phone in (ADA, BOB, EVE))
    opt_outs("remove", person, exit_code=2)
    opt_outs("remove", person, "--reason", "she called again")
    opt_outs("remove", "202-555-0102", "--reason", "it was a mistake")
    assert [phone in opt_outs("export") for phone in (ADA, BOB, EVE)] == [False, False, True]
    assert "has not opted out" in opt_outs("remove", person, "--reason", "once more", exit_code=1)
    opt_outs("remove", "12345", "--reason", "no such phone", exit_code=2)
    handsent("user", "add", "Ada", "--account", "acme", **dispatcher)
    assert EVE not in opt_outs("export", "--account", "acme"), "another account's people are its own"


def test_a_legal_block_is_named_and_removed_by_hand_only(handsent: Handsent, dispatcher: dict[str, str]) -> None:
    handsent("user", "add", "Ada", **dispatcher)
    person = handsent("opt-outs", "add", ADA, "--legal", "--reason", "an order", **dispatcher).stdout.strip()
    assert f"{ADA},legal,an order," in handsent("opt-outs", "export", **dispatcher).stdout
    handsent("opt-outs", "remove", person, "--reason", "the order was lifted", **dispatcher)
    assert ADA not in handsent("opt-outs", "export", **dispatcher).stdout


def test_who_is_held_is_listed_and_decided_about(
    handsent: Handsent, dispatcher: dict[str, str], database_url: str
) -> None:
    handsent("user", "add", "Ada", **dispatcher)
    assert handsent("holds", "list", **dispatcher).stdout == ""
    handsent("opt-outs", "add", EVE, **dispatcher)
    asyncio.run(_hold(database_url, dispatcher, ADA, BOB))
    listed = handsent("holds", "list", **dispatcher).stdout.splitlines()
    assert len(listed) == 2 and all("0 waiting" in line and '"wrong number"' in line for line in listed)
    [first, _] = map(json.loads, handsent("holds", "list", "--json", **dispatcher).stdout.splitlines())
    handsent("holds", "release", first["person_id"], exit_code=2, **dispatcher)
    handsent("holds", "release", ADA, "--reason", "it was the right one", **dispatcher)
    handsent("holds", "opt-out", BOB, "--reason", "it was not", **dispatcher)
    assert handsent("holds", "list", **dispatcher).stdout == ""
    assert f"{BOB},manual,it was not," in handsent("opt-outs", "export", **dispatcher).stdout
    said = handsent("holds", "release", ADA, "--reason", "once more", exit_code=1, **dispatcher)
    assert "wait for a decision" in said.stderr


async def _hold(database_url: str, settings: dict[str, str], *numbers: str) -> None:
    """As if they had answered "wrong number" to a number of the account's, which has one opt-out."""
    pool, vault = await store.open_pool(database_url), await open_vault(database_url, store.SCHEMA, [VAULT_KEY])
    async with pool.acquire() as connection:
        account_id = await connection.fetchval("SELECT account_id FROM opt_outs")
        await connection.execute("INSERT INTO senders VALUES ($1, $2)", EVE, account_id)
    replies = [Reply(n, n, EVE, "wrong number", Verdict.HOLD, datetime.now(UTC)) for n in numbers]
    await store_replies.receive(pool, Sealer(vault, settings["PERSON_ID_SECRET"]), replies)
    await vault.close()
    await pool.close()


def test_a_dispatcher_that_is_away_is_one_clear_line(handsent: Handsent) -> None:
    handsent("user", "add", "Ada")
    said = handsent("opt-outs", "export", exit_code=1, DISPATCHER_URL="http://127.0.0.1:1")
    assert said.stderr.startswith("Error: the dispatcher service does not answer")
