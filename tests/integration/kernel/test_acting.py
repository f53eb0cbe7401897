"""A connection that acts for accounts: whose rows it sees, and that nothing of it is left to whoever gets it next."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import pytest
from kernel import database
from kernel.database import Connection, Pool, acting_for
from kernel.vault import migrate_vault

SCHEMA = "walls_test"
THINGS = """
CREATE TABLE things (account_id uuid, name text);
SELECT wall('things', 'SELECT, INSERT');
CREATE TABLE secrets (word text);
"""
ANN, BEN, CAT = (str(uuid4()) for _ in range(3))
WHO = "SELECT current_user::text, current_setting('handsent.accounts', true)"


async def things_of(url: str, schema: str) -> Pool:
    """A service with a thing of Ann's, of Ben's and of Cat's, and one connection that all share."""
    await database.migrate(url, schema, "kernel")
    pool = await database.open_pool(url, schema, max_size=1)
    await pool.execute(THINGS)
    for account_id, name in ((ANN, "Ann's"), (BEN, "Ben's"), (CAT, "Cat's")):
        await pool.execute("INSERT INTO things VALUES ($1, $2)", account_id, name)
    return pool


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    pool = await things_of(database_url, SCHEMA)
    yield pool
    await pool.close()


async def names(source: Pool | Connection) -> set[str]:
    return {row[0] for row in await source.fetch("SELECT name FROM things")}


async def is_the_service_again(pool: Pool) -> bool:
    who, accounts = await pool.fetchrow(WHO)  # type: ignore[misc]
    return (who, accounts or "") == (SCHEMA, "") and len(await names(pool)) == 3


async def test_it_sees_what_belongs_to_those_it_acts_for(pool: Pool) -> None:
    async with acting_for(pool, ANN) as connection:
        assert await names(connection) == {"Ann's"}
    async with acting_for(pool, ANN, CAT) as connection:
        assert await names(connection) == {"Ann's", "Cat's"}
    async with acting_for(pool, str(uuid4())) as connection:
        assert await names(connection) == set()
    async with acting_for(pool) as connection:
        assert await names(connection) == set()


async def test_a_plan_that_was_made_for_one_account_serves_the_next_one_its_own(pool: Pool) -> None:
    for _ in range(8):  # after five, Postgres keeps one plan for all values
        for account_id, name in ((ANN, "Ann's"), (BEN, "Ben's")):
            async with acting_for(pool, account_id) as connection:
                assert await names(connection) == {name}
        assert len(await names(pool)) == 3


async def test_it_leaves_nothing_behind(pool: Pool) -> None:
    async with acting_for(pool, ANN) as connection:
        assert (await connection.fetchrow(WHO)) == (f"{SCHEMA}_api", ANN)
    assert await is_the_service_again(pool)


async def test_it_leaves_nothing_behind_whatever_breaks_inside(pool: Pool) -> None:
    with suppress(ValueError):
        async with acting_for(pool, ANN):
            raise ValueError
    assert await is_the_service_again(pool)
    with suppress(asyncpg.DivisionByZeroError):
        async with acting_for(pool, ANN) as connection, connection.transaction():
            await connection.execute("SELECT 1 / 0")
    assert await is_the_service_again(pool)
    with suppress(asyncpg.DivisionByZeroError):
        async with acting_for(pool, ANN) as connection:
            await connection.execute("BEGIN")  # left open
            await connection.execute("SELECT 1 / 0")
    assert await is_the_service_again(pool)
    with suppress(TimeoutError):
        async with asyncio.timeout(0.05), acting_for(pool, ANN) as connection:
            await connection.execute("SELECT pg_sleep(60)")
    assert await is_the_service_again(pool)


async def test_it_may_do_what_the_api_needs_and_nothing_else(pool: Pool) -> None:
    async with acting_for(pool, ANN) as connection:
        await connection.execute("INSERT INTO things VALUES ($1, 'another of Ann''s')", ANN)
        for forbidden in (
            "SELECT word FROM secrets",
            "SELECT events FROM outbox",
            "DELETE FROM things",
            "ALTER TABLE things DISABLE ROW LEVEL SECURITY",
            "DROP POLICY wall ON things",
            "CREATE TABLE mine (n int)",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(forbidden)
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            await connection.execute("INSERT INTO things VALUES ($1, 'a gift')", BEN)
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            await connection.execute("SET row_security = off; SELECT name FROM things")


async def test_what_is_no_account_is_refused(pool: Pool) -> None:
    with pytest.raises(asyncpg.DataError):
        async with acting_for(pool, "everybody") as connection:
            await names(connection)
    assert await is_the_service_again(pool)


async def test_the_vault_opens_to_services_and_not_to_their_apis(database_url: str) -> None:
    await migrate_vault(database_url)
    for service in ("send_intake", "dispatcher", "projections"):
        await database.migrate(database_url, service, service)
        pool = await database.open_pool(database_url, service, max_size=1)
        assert await pool.fetchval("SELECT count(*) FROM vault.keys") == 0
        async with acting_for(pool, ANN) as connection:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.fetchval("SELECT count(*) FROM vault.keys")
        await pool.close()


@pytest.mark.parametrize("makes_roles", [True, False], ids=["makes the roles", "was given the roles"])
async def test_a_login_without_a_superuser_s_rights_acts_for_accounts(database_url: str, makes_roles: bool) -> None:
    name = f"walls_{uuid4().hex[:8]}"
    admin = await asyncpg.connect(database_url)
    await admin.execute(f"CREATE ROLE {name}_login LOGIN PASSWORD 'only of a test' NOSUPERUSER")
    if makes_roles:
        await admin.execute(f"ALTER ROLE {name}_login CREATEROLE; GRANT CREATE ON DATABASE {database_of(database_url)} "
                            f"TO {name}_login")  # fmt: skip
    else:
        await admin.execute(f"""
            CREATE ROLE {name}; CREATE ROLE {name}_api; GRANT {name}_api TO {name}; GRANT {name} TO {name}_login;
            CREATE SCHEMA {name} AUTHORIZATION {name}""")
    parts = urlsplit(database_url)
    url = urlunsplit(parts._replace(netloc=f"{name}_login:only of a test@{parts.hostname}:{parts.port}"))
    pool = await things_of(url.replace(" ", "%20"), name)
    async with acting_for(pool, BEN) as connection:
        assert await names(connection) == {"Ben's"}
    assert len(await names(pool)) == 3
    await pool.close()
    await admin.close()


def database_of(url: str) -> str:
    return urlsplit(url).path.removeprefix("/")
