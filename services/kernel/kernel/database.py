"""Postgres: one schema and one role per service, migrations, statements by name."""

import re
from importlib import resources
from typing import Any

import asyncpg

Pool = asyncpg.Pool
Connection = asyncpg.pool.PoolConnectionProxy | asyncpg.Connection

# A frozen process must not stop the others: its transactions are ended for it.
TIMEOUTS = {
    "statement_timeout": "60s",
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "10s",
}


def session_settings(schema: str, **overrides: str) -> dict[str, str]:
    """The settings of a service's session: acts as the role, and in the schema, of the service's name."""
    # jit compiles for longer than our statements run; plans of the hot statements are kept generic.
    return {"role": schema, "search_path": schema, "jit": "off", "timezone": "UTC", **TIMEOUTS, **overrides}


async def connect(url: str, schema: str, **overrides: str) -> asyncpg.Connection:
    """One connection outside the pool, for what must stay on one session (advisory locks)."""
    return await asyncpg.connect(
        url, timeout=10, command_timeout=60, server_settings=session_settings(schema, **overrides)
    )


async def open_pool(url: str, schema: str, min_size: int = 1, max_size: int = 8) -> Pool:
    """The service's pool. `migrate` must have run once, for it makes the role and the schema."""
    pool = await asyncpg.create_pool(
        url,
        min_size=min_size,
        max_size=max_size,
        timeout=10,
        command_timeout=60,
        max_inactive_connection_lifetime=300,
        server_settings=session_settings(schema),
    )
    assert pool is not None
    return pool


async def migrate(url: str, schema: str, package: str) -> None:
    """Brings the service's schema up to date: kernel tables, then each `sql/migrations/NNNN_*.sql` of the package once.

    Makes role and schema if the login may; several processes at once wait for each other on an advisory lock.
    """
    connection = await asyncpg.connect(url, timeout=10)
    try:
        async with connection.transaction():
            await begin_migration(connection, schema)
            await connection.execute(f'SET LOCAL ROLE "{schema}"; SET LOCAL search_path TO "{schema}"')
            await connection.execute(sql_text("kernel", "sql/kernel.sql"))
            await connection.execute(
                "CREATE TABLE IF NOT EXISTS migrations (name text PRIMARY KEY, applied_at timestamptz DEFAULT now())"
            )
            done = {row["name"] for row in await connection.fetch("SELECT name FROM migrations")}
            for name in sorted(_migrations(package) - done):
                await connection.execute(sql_text(package, f"sql/migrations/{name}"))
                await connection.execute("INSERT INTO migrations (name) VALUES ($1)", name)
    finally:
        await connection.close()


async def begin_migration(connection: asyncpg.Connection, schema: str) -> None:
    """Waits for other migrations to finish; then there are the role and the schema."""
    await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('handsent.migrate', 0))")
    await ensure_role(connection, schema)
    if not await connection.fetchval("SELECT 1 FROM pg_namespace WHERE nspname = $1", schema):
        await connection.execute(f'CREATE SCHEMA "{schema}" AUTHORIZATION "{schema}"')


async def ensure_role(connection: asyncpg.Connection, role: str) -> None:
    """A role that owns and may do, but not sign in; the login may become it."""
    if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role):
        await connection.execute(f'CREATE ROLE "{role}" NOLOGIN')
    if not await connection.fetchval("SELECT pg_has_role($1, 'MEMBER')", role):
        await connection.execute(f'GRANT "{role}" TO CURRENT_USER')


def _migrations(package: str) -> set[str]:
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
