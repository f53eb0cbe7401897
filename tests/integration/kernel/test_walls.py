"""Accounts are walls in Postgres too: in every table of every service, without any help from the application."""

from collections.abc import AsyncIterator
from uuid import uuid4

import asyncpg
import pytest
from kernel import database
from kernel.database import Pool, acting_for

from tests.integration.walls import Table, fill, id_of, insert, tables, walled
from tests.tidy.tree import SERVICES

# What no account has a wall in, and the API may touch all the same.
SHARED = {"offsets": ["SELECT"], "outbox": ["INSERT"], "clock": ["SELECT"]}
ANN, BEN = str(uuid4()), str(uuid4())


@pytest.fixture(params=SERVICES.values())
async def owner(database_url: str, request: pytest.FixtureRequest) -> AsyncIterator[Pool]:
    """A service's own pool, with a row of Ann's and one of Ben's in every walled table."""
    await database.migrate(database_url, request.param, request.param)
    pool = await database.open_pool(database_url, request.param, max_size=2)
    await fill(pool, ANN)
    await fill(pool, BEN)
    yield pool
    await pool.close()


async def seen(pool: Pool, table: Table, *account_ids: str) -> list[str]:
    """The rows of a table that Postgres lets be read, as far as it does."""
    async with acting_for(pool, *account_ids) as connection:
        rows = await connection.fetch(f"SELECT {', '.join(table.readable)} FROM {table.name}")
    return [str(tuple(row)) for row in rows]


async def test_every_table_is_walled_in_or_says_why_not(owner: Pool) -> None:
    found = [table for table in await tables(owner) if not table.is_view]
    assert [t.name for t in found if not (t.walled and t.policies) and not t.comment.startswith("no wall: ")] == []
    assert [t.name for t in found if t.walled and t.comment.startswith("no wall")] == []


async def test_the_api_reaches_nothing_that_has_no_wall_but_what_is_everybody_s(owner: Pool) -> None:
    found = await tables(owner)
    reached = {t.name: t.rights for t in found if t.rights and not t.walled and not t.is_view}
    assert reached.items() <= SHARED.items()
    assert [t.name for t in found if t.is_view and t.rights and "security_invoker=true" not in t.options] == []
    assert [t.name for t in found if {"TRUNCATE", "REFERENCES", "TRIGGER"} & set(t.rights)] == []


async def test_an_account_sees_its_own_rows_and_no_others(owner: Pool) -> None:
    for table in await walled(owner):
        if "SELECT" in table.rights:
            [ann_s], [ben_s] = await seen(owner, table, ANN), await seen(owner, table, BEN)
            assert ann_s != ben_s, table.name
            assert sorted(await seen(owner, table, ANN, BEN)) == sorted([ann_s, ben_s]), table.name
            assert await seen(owner, table, str(uuid4())) == [], table.name


async def test_who_acts_for_nobody_sees_nothing(owner: Pool) -> None:
    for table in await tables(owner):
        if "SELECT" in table.rights and table.name not in SHARED:
            assert await seen(owner, table) == [], table.name


async def test_no_account_changes_or_deletes_another_s_rows(owner: Pool) -> None:
    for table in await walled(owner):
        column = table.readable[-1] if table.readable else "account_id"
        for right, statement in (
            ("UPDATE", f"UPDATE {table.name} SET {column} = {column}"),
            ("DELETE", f"DELETE FROM {table.name}"),
        ):
            async with acting_for(owner, ANN) as connection:
                if right in table.rights:
                    assert await connection.execute(statement) == f"{right} 1", table.name
                else:
                    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied"):
                        await connection.execute(statement)
        assert await owner.fetchval(f"SELECT count(*) FROM {table.name}") == 2 - ("DELETE" in table.rights), table.name


async def test_no_account_adds_a_row_of_another_s_or_gives_one_away(owner: Pool) -> None:
    for table in await walled(owner):
        if "UPDATE" in table.rights and "account_id" in table.readable:
            async with acting_for(owner, ANN) as connection:
                # By the wall, or because the column is none of those that may be changed.
                with pytest.raises(asyncpg.InsufficientPrivilegeError, match=r"row-level security|permission denied"):
                    await connection.execute(f"UPDATE {table.name} SET account_id = $1", BEN)
        if "INSERT" in table.rights:
            await owner.execute(f"DELETE FROM {table.name}")
            async with acting_for(owner, ANN) as connection:
                await insert(connection, table.name, ANN)
                with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
                    await insert(connection, table.name, BEN)


async def test_rows_from_before_the_walls_get_the_account_of_their_campaign(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before:
        migrations = database.migrations_of
        before.setattr(database, "migrations_of", lambda package: {m for m in migrations(package) if m < "0003"})
        await database.migrate(database_url, "send_intake", "send_intake")
    old = await database.connect(database_url, "send_intake")
    for account_id in (ANN, BEN):
        await insert(old, "campaigns", account_id)
        for table in ("recipients", "reached", "sendings", "claims"):
            await insert(old, table, account_id)
    await old.close()
    await database.migrate(database_url, "send_intake", "send_intake")
    pool = await database.open_pool(database_url, "send_intake", max_size=1)
    for account_id in (ANN, BEN):
        async with acting_for(pool, account_id) as connection:
            for table in ("recipients", "reached", "sendings", "claims"):
                rows = await connection.fetch(f"SELECT account_id::text, campaign_id::text FROM {table}")
                assert [tuple(row) for row in rows] == [(account_id, id_of(account_id, "campaign_id"))], table
    await pool.close()
