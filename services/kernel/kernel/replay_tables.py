"""A service's tables twice, in temporary tables of one session: as they are live, and as the log gives them once more.

Temporary tables, so that nothing can be left behind: they are gone with the session, however it ends. They need no role
and no schema of their own, and are not written to Postgres's log.
"""

from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from typing import NamedTuple

from kernel import database
from kernel.database import Connection, Pool, load_queries
from kernel.offsets import Position
from kernel.outbox import unpack
from kernel.verdict import Difference, Table

q = load_queries("kernel", "replay.sql")

# The kernel's, in every service's schema.
OF_KERNEL = {"offsets", "topic_ids", "outbox", "produced", "stopped", "set_aside", "migrations"}
LONG_S = 3600.0  # for statements over whole tables
SHOWN = 20


class NotComparable(RuntimeError):
    """These tables cannot be folded again by this version."""


class Named(NamedTuple):
    """A table, the columns of its primary key, and all of them."""

    name: str
    key: list[str]
    columns: list[str]


class Waiting(NamedTuple):
    """An event that is committed, and was still in the outbox."""

    topic: str
    key: bytes | None
    value: bytes


async def open_session(url: str, schema: str) -> Pool:
    """A pool of one connection that acts as the service. It must be closed.

    Unqualified names mean temporary tables and nothing else: what is folded cannot end up in the live ones.
    """
    return await database.open_pool(
        url, schema, max_size=1, search_path="pg_temp", statement_timeout="0", temp_buffers="128MB", work_mem="64MB"
    )


async def copy(connection: Connection, name: str, schema: str, operational: Collection[str]) -> list[Named]:
    """Copies the live tables as the transaction sees them, but for the operational ones; answers the derived.

    Locks nothing that the service needs. Raises NotComparable.
    """
    found = [Named(*row) for row in await connection.fetch(q.tables, schema)]
    if not {table.name for table in found} >= OF_KERNEL:
        raise NotComparable(f"{name} has never run on this database")
    derived = [table for table in found if table.name not in OF_KERNEL and table.name not in operational]
    for table in [*sorted(OF_KERNEL), *(table.name for table in derived)]:
        await connection.execute(q.copy.format(schema=schema, table=table), timeout=LONG_S)
    done = {row["name"] for row in await connection.fetch("SELECT name FROM live_migrations")}
    if done != database.migrations_of(schema):
        raise NotComparable(f"{name} runs in another version than this command: use the one it was started with")
    return derived


async def make(connection: Connection, schema: str, derived: Iterable[Named], operational: Collection[str]) -> None:
    """Each table again, empty: the kernel's as they are, the derived ones without their operational columns."""
    for name in sorted(OF_KERNEL):
        await connection.execute(q.make.format(schema=schema, table=name))
    for table in derived:
        columns = ", ".join(f'"{column}"' for column in table.columns if f"{table.name}.{column}" not in operational)
        await connection.execute(q.make_plain.format(schema=schema, table=table.name, columns=columns))
    await connection.execute(q.start)


async def make_for_statements(connection: Connection, schema: str, derived: Iterable[Named]) -> None:
    """Each table again, empty, with keys, constraints and defaults: the service's own statements work on them."""
    for name in [*sorted(OF_KERNEL), *(table.name for table in derived)]:
        await connection.execute(q.make.format(schema=schema, table=name))
    await connection.execute(q.start)


async def positions(connection: Connection, query: str, topics: Collection[str]) -> dict[Position, int]:
    """`q.until` or `q.produced`, of these topics."""
    rows = await connection.fetch(query, list(topics))
    return {(row["topic"], row["partition"]): row["next_offset"] for row in rows}


async def waiting(pool: Pool, topics: Collection[str]) -> AsyncIterator[list[Waiting]]:
    """What was in the outbox for these topics, in its order, a few rows at a time."""
    seq = 0
    while rows := await pool.fetch(q.waiting_to_leave, seq, list(topics), timeout=LONG_S):
        seq = rows[-1]["seq"]
        yield [Waiting(row["topic"], key, value) for row in rows for key, value in unpack(row["events"])]


async def keep_first(connection: Connection, table: str, key: str) -> None:
    """Of the rows with the same key the one with the lowest `place`, a column that is gone afterwards."""
    await connection.execute(q.keep_first.format(table=table, key=key), timeout=LONG_S)


async def compare(connection: Connection, tables: Sequence[Named], operational: Collection[str]) -> list[Table]:
    """Each derived table, live against folded."""
    for table in tables:
        for column in table.columns:
            if f"{table.name}.{column}" in operational:
                await connection.execute(f'ALTER TABLE "live_{table.name}" DROP COLUMN "{column}"')
    await connection.execute("ANALYZE", timeout=LONG_S)
    return [await _compared(connection, table) for table in tables]


async def _compared(connection: Connection, table: Named) -> Table:
    names = [f'"{column}"' for column in table.key]
    texts, key = ", ".join(f"{name}::text" for name in names), ", ".join(names)
    statement = q.differences.format(table=table.name, texts=texts, key=key, first=names[0])
    found = await connection.fetch(statement, SHOWN, timeout=LONG_S)
    rows = await connection.fetchval(q.rows.format(table=table.name), timeout=LONG_S)
    shown = [
        Difference(dict(zip(table.key, row["key"], strict=True)), row["live"], row["folded"], row["columns"])
        for row in found
    ]
    return Table(table.name, rows, found[0]["differing"] if found else 0, shown)
