"""Postgres: one schema and two roles per service (its own, its API's), migrations, statements by name."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib import resources
from typing import Any

import asyncpg

Pool = asyncpg.Pool
Connection = asyncpg.pool.PoolConnectionProxy | asyncpg.Connection

# A frozen process must not stop the others: its transactions are ended for it.
FROZEN_AFTER = "10s"
TIMEOUTS = {
    "statement_timeout": "60s",
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": FROZEN_AFTER,
}


def session_settings(schema: str, **overrides: str) -> dict[str, str]:
    """The settings of a service's session: acts as the role, and in the schema, of the service's name."""
    # jit compiles for longer than our statements run; plans of the hot statements are kept generic.
    # Read committed, whatever the server's default: what is read after a lock must be read as of then. And what was
    # answered is on disk: a server whose default is off would lose it in a crash. A transaction that can be made anew
    # from the topics may turn it off for itself.
    return {
        "role": schema,
        "search_path": schema,
        "jit": "off",
        "timezone": "UTC",
        "default_transaction_isolation": "read committed",
        "synchronous_commit": "on",
        **TIMEOUTS,
        **overrides,
    }


async def connect(url: str, schema: str, **overrides: str) -> asyncpg.Connection:
    """One connection outside the pool, for what must stay on one session (advisory locks)."""
    return await asyncpg.connect(
        url, timeout=10, command_timeout=60, server_settings=session_settings(schema, **overrides)
    )


class _Session(asyncpg.Connection):
    """Goes back to the pool as the service itself: asyncpg's RESET ALL leaves the role as it is."""

    __slots__ = ()

    def get_reset_query(self) -> str:
        return f"RESET ROLE;\n{super().get_reset_query()}"


async def open_pool(url: str, schema: str, min_size: int = 1, max_size: int = 8, **overrides: str) -> Pool:
    """The service's pool. `migrate` must have run once, for it makes the role and the schema."""
    pool = await asyncpg.create_pool(
        url,
        min_size=min_size,
        max_size=max_size,
        timeout=10,
        command_timeout=60,
        max_inactive_connection_lifetime=300,
        connection_class=_Session,
        server_settings=session_settings(schema, **overrides),
    )
    assert pool is not None
    return pool


# One round trip. Of the session, not of a transaction, so that a single SELECT needs none. Without a schema there is no
# such role: `||` would make it null, which Postgres takes for the session's own.
_ACT = (
    "SELECT set_config('role', format('%s_api', current_schema()), false), set_config('handsent.accounts', $1, false)"
)


@asynccontextmanager
async def acting_for(pool: Pool, *account_ids: str) -> AsyncIterator[Connection]:
    """A connection of `open_pool`'s that acts for these accounts: Postgres itself keeps the rows of all others from it.

    Everything a person asks for goes this way. The walls are in each service's `0003_walls.sql`.
    """
    async with pool.acquire() as connection:
        await connection.execute(_ACT, ",".join(account_ids))
        yield connection


async def migrate(
    url: str, schema: str, package: str, role: str | None = None, also: Mapping[str, str] | None = None
) -> None:
    """Brings the service's schema up to date: kernel tables, then each `sql/migrations/NNNN_*.sql` of the package once.

    Makes role and schema if the login may; several processes at once wait for each other on an advisory lock. `role`
    owns the schema where it has another name than it; `also` are migrations beside the package's own, SQL by name.
    """
    role = role or schema
    connection = await asyncpg.connect(url, timeout=10)
    try:
        async with connection.transaction():
            await begin_migration(connection, schema, role)
            await _ensure_api_role(connection, role)
            await connection.execute(f'SET LOCAL ROLE "{role}"; SET LOCAL search_path TO "{schema}"')
            await connection.execute(f'GRANT USAGE ON SCHEMA "{schema}" TO "{role}_api"')
            await connection.execute(sql_text("kernel", "sql/kernel.sql"))
            done = {row["name"] for row in await connection.fetch("SELECT name FROM migrations")}
            own = {name: sql_text(package, f"sql/migrations/{name}") for name in migrations_of(package)}
            for name, text in sorted({**(also or {}), **own}.items()):
                if name not in done:
                    await connection.execute(text)
                    await connection.execute("INSERT INTO migrations (name) VALUES ($1)", name)
    finally:
        await connection.close()


async def begin_migration(connection: asyncpg.Connection, schema: str, role: str | None = None) -> None:
    """Waits for other migrations to finish; then there are the role and the schema."""
    role = role or schema
    # Who holds the lock and freezes, or whose host vanishes, must not keep the others from starting.
    await connection.execute(f"SET LOCAL idle_in_transaction_session_timeout = '{FROZEN_AFTER}'")
    await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('handsent.migrate', 0))")
    await ensure_role(connection, role)
    if not await connection.fetchval("SELECT 1 FROM pg_namespace WHERE nspname = $1", schema):
        await connection.execute(f'CREATE SCHEMA "{schema}" AUTHORIZATION "{role}"')


async def ensure_role(connection: asyncpg.Connection, role: str) -> None:
    """A role that owns and may do, but not sign in; the login may become it."""
    if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role):
        # A login that makes a role is a member of it from Postgres 16 on, but one that may not become it.
        await connection.execute(f'CREATE ROLE "{role}" NOLOGIN; GRANT "{role}" TO CURRENT_USER')
    if not await connection.fetchval("SELECT pg_has_role($1, 'MEMBER')", role):
        await connection.execute(f'GRANT "{role}" TO CURRENT_USER')


async def _ensure_api_role(connection: asyncpg.Connection, role: str) -> None:
    """The role that acts for people: it owns nothing, so the walls bind it. Whoever may be the service's may be it."""
    api = f"{role}_api"
    if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", api):
        await connection.execute(f'CREATE ROLE "{api}" NOLOGIN')
    if not await connection.fetchval("SELECT pg_has_role($1::name, $2::name, 'MEMBER')", role, api):
        await connection.execute(f'GRANT "{api}" TO "{role}"')


def migrations_of(package: str) -> set[str]:
    """The names of the package's migrations."""
    folder = resources.files(package).joinpath("sql", "migrations")
    return {entry.name for entry in folder.iterdir() if entry.name.endswith(".sql")} if folder.is_dir() else set()


def sql_text(package: str, path: str) -> str:
    """What `<package>/<path>` says."""
    return resources.files(package).joinpath(path).read_text()


class Queries:
    """The statements of a `.sql` file by name: `-- name: take_intents`, a line of purpose, the statement."""

    def __init__(self, text: str) -> None:
        parts = re.split(r"^-- name: (\w+)\s*$", text, flags=re.MULTILINE)
        self._statements = {name: body.strip().rstrip(";") for name, body in zip(parts[1::2], parts[2::2], strict=True)}

    def __getattr__(self, name: str) -> str:
        try:
            return self._statements[name]
        except KeyError:
            raise AttributeError(f"no statement is named {name}") from None


def load_queries(package: str, file: str = "queries.sql") -> Queries:
    """The named statements of `<package>/sql/<file>`."""
    return Queries(sql_text(package, f"sql/{file}"))


Row = asyncpg.Record | dict[str, Any]
