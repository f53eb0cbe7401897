"""The read models twice, in temporary tables of one session: as they are live, and as the log gives them once more.

Temporary tables, so that nothing can be left behind: they are gone with the session, however it ends. They need no role
and no schema of their own, and are not written to Postgres's log.
"""

from typing import NamedTuple

from kernel import database
from kernel.database import Pool, load_queries
from kernel.offsets import Position

from projections import store
from projections.verdict import Difference, Table

q = load_queries("projections", "replay.sql")

LIVE = "projections"
# The kernel's, in every service's schema; all others are read models.
OF_KERNEL = {"offsets", "topic_ids", "outbox", "produced", "stopped", "set_aside", "migrations"}
LONG_S = 3600.0  # for statements over whole tables
SHOWN = 20


class NotComparable(RuntimeError):
    """These tables cannot be folded again by this version."""


class Named(NamedTuple):
    """A table, and the columns of its primary key."""

    name: str
    key: list[str]


async def open_session(url: str) -> Pool:
    """A pool of one connection that acts as projections. It must be closed.

    Unqualified names mean temporary tables and nothing else: what is folded cannot end up in the live ones.
    """
    return await database.open_pool(
        url, LIVE, max_size=1, search_path="pg_temp", statement_timeout="0", temp_buffers="128MB", work_mem="64MB"
    )


async def take(pool: Pool) -> tuple[list[Named], list[str]]:
    """Copies the live tables as they stand at one moment, and makes each again, empty.

    Returns the read models, and the campaigns whose live figures are not what a recount of their rows gives. Locks
    nothing that projections needs. Raises NotComparable.
    """
    async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read"):
        tables = [Named(*row) for row in await connection.fetch(q.tables)]
        _check({table.name for table in tables})
        await connection.execute("SET LOCAL search_path TO projections, pg_temp")
        drifted = await store.drifted(connection)
        await connection.execute("SET LOCAL search_path TO pg_temp")
        for table in tables:
            await connection.execute(q.copy.format(table=table.name), timeout=LONG_S)
            await connection.execute(q.make.format(table=table.name))
        await _check_version(connection)
        await connection.execute(q.start)
    return [table for table in tables if table.name not in OF_KERNEL], drifted


def _check(names: set[str]) -> None:
    if not names >= OF_KERNEL:
        raise NotComparable("projections has never run on this database")


async def _check_version(connection: database.Connection) -> None:
    done = {row["name"] for row in await connection.fetch("SELECT name FROM live_migrations")}
    if done != database.migrations_of("projections"):
        raise NotComparable("projections runs in another version than this command: use the one it was started with")


async def until(pool: Pool) -> dict[Position, int]:
    """The offsets at which the copy stands, of every partition that projections has read from."""
    return {(row["topic"], row["partition"]): row["next_offset"] for row in await pool.fetch(q.until)}


async def passed_over(pool: Pool) -> int:
    count: int = await pool.fetchval(q.passed_over)
    return count


async def compare(pool: Pool, tables: list[Named]) -> list[Table]:
    """Each read model, live against folded."""
    await pool.execute(q.forget_zeros)
    await pool.execute("ANALYZE", timeout=LONG_S)
    return [await _compared(pool, table) for table in tables]


async def _compared(pool: Pool, table: Named) -> Table:
    names = [f'"{column}"' for column in table.key]
    texts, key = ", ".join(f"{name}::text" for name in names), ", ".join(names)
    statement = q.differences.format(table=table.name, texts=texts, key=key, first=names[0])
    found = await pool.fetch(statement, SHOWN, timeout=LONG_S)
    rows = await pool.fetchval(q.rows.format(table=table.name), timeout=LONG_S)
    shown = [
        Difference(dict(zip(table.key, row["key"], strict=True)), row["live"], row["folded"], row["columns"])
        for row in found
    ]
    return Table(table.name, rows, found[0]["differing"] if found else 0, shown)
