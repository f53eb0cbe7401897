"""The read models of a replay, in a schema beside the live one; what is kept of replays is in a third, `replay`."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import asyncpg
from kernel import database
from kernel.database import Connection, Pool, load_queries
from kernel.offsets import Position

from projections import store
from projections.store import Stored

q = load_queries("projections", "run.sql")

LIVE, RUN, OLD, KEPT = "projections", "projections_run", "projections_old", "replay"
ROLE = LIVE  # owns all of them, and acts for people as before once they are exchanged
LOCK = "SELECT pg_advisory_lock(hashtextextended('handsent.replay', 0))"
UPDATED_AT_ONCE = 5000
LONG_S = 24 * 3600.0


class Refused(RuntimeError):
    """It cannot be done as things are; the message says why."""


class MovedElsewhere(RuntimeError):
    """Somebody else has folded into the same tables."""


class State(NamedTuple):
    """What is known of a run: `indexes` are still to be made, `equal` is what the last comparison found."""

    made_at: Any
    indexes: list[str] | None
    caught_up_at: Any
    compared_at: Any
    equal: bool | None


@asynccontextmanager
async def session(url: str) -> AsyncIterator[asyncpg.Connection]:
    """A session of the login's own, which may rename schemas. There is the schema `replay` then."""
    connection = await asyncpg.connect(url, timeout=10, command_timeout=LONG_S, server_settings={"timezone": "UTC"})
    try:
        await _keep(connection)
        yield connection
    finally:
        await connection.close()


async def _keep(connection: asyncpg.Connection) -> None:
    if LIVE not in await schemas(connection):
        raise Refused("projections has never run on this database")
    async with connection.transaction():
        await database.begin_migration(connection, KEPT, ROLE)
        await connection.execute(f'SET LOCAL ROLE "{ROLE}"')
        await connection.execute(q.keep)


@asynccontextmanager
async def alone(connection: asyncpg.Connection, wait_s: float) -> AsyncIterator[None]:
    """One replay at a time moves things. Raises Refused when another has it for longer than `wait_s`."""
    await connection.execute(f"SET lock_timeout = '{wait_s:.0f}s'")
    try:
        await connection.execute(LOCK)
    except asyncpg.LockNotAvailableError:
        raise Refused("another replay is at work") from None
    try:
        yield
    finally:
        if not connection.is_closed():
            await connection.execute(LOCK.replace("pg_advisory_lock", "pg_advisory_unlock"))


async def begin(connection: asyncpg.Connection, done_by: str, command: str, arguments: str) -> int:
    """Writes down that a command begins; its number. `arguments` are JSON."""
    seq: int = await connection.fetchval(q.begin, done_by, command, arguments)
    return seq


async def end(connection: asyncpg.Connection, seq: int, outcome: str) -> None:
    await connection.execute(q.end, seq, outcome)


async def history(connection: asyncpg.Connection, most: int) -> list[dict[str, Any]]:
    """What was done, newest first."""
    return [dict(row) for row in await connection.fetch(q.history, most)]


async def schemas(connection: Connection) -> set[str]:
    """Which of the live schema, the run's and the former one there are."""
    return {row[0] for row in await connection.fetch(q.schemas, [LIVE, RUN, OLD])}


async def open_pool(url: str, schema: str, max_size: int = 1) -> Pool:
    """As projections, into this schema; statements take as long as they take."""
    return await database.open_pool(
        url, ROLE, max_size=max_size, search_path=schema, statement_timeout="0", lock_timeout="60s",
        idle_in_transaction_session_timeout="600s", temp_buffers="64MB",
    )  # fmt: skip


# --- the run's schema ------------------------------------------------------------------------------------


async def make(connection: asyncpg.Connection, url: str, also: Mapping[str, str]) -> None:
    """The schema of a run, as the migrations of this version make it, and `also` these. Repeatable."""
    if RUN in await schemas(connection):
        done = {row["name"] for row in await connection.fetch(q.migrations.format(run=RUN))}
        if not done >= {*database.migrations_of("projections"), *also}:
            await connection.execute(q.changed, RUN)  # before: who is killed in between has not migrated
    await database.migrate(url, RUN, "projections", ROLE, also)
    async with connection.transaction():
        await connection.execute(q.register, RUN)
        await connection.execute(q.same_log.format(run=RUN, live=LIVE))


async def same_log(connection: asyncpg.Connection) -> None:
    await connection.execute(q.same_log.format(run=RUN, live=LIVE))


async def state(connection: asyncpg.Connection) -> State | None:
    row = await connection.fetchrow(q.run, RUN)
    return State(*row) if row else None


async def caught_up(connection: asyncpg.Connection) -> None:
    await connection.execute(q.caught_up, RUN)


async def compared(connection: asyncpg.Connection, equal: bool) -> None:
    await connection.execute(q.compared, RUN, equal)


async def drop(connection: asyncpg.Connection, schema: str) -> None:
    async with connection.transaction():
        await connection.execute(q.forget, schema)
        await connection.execute(f'DROP SCHEMA "{schema}" CASCADE')


async def defer_indexes(connection: asyncpg.Connection) -> None:
    """Takes away the indexes that the bulk does not need, and remembers them."""
    async with connection.transaction():
        found = await connection.fetch(q.deferrable_indexes, RUN)
        for row in found:
            await connection.execute(f'DROP INDEX {RUN}."{row["name"]}"')
        await connection.execute(q.defer, RUN, [row["definition"] for row in found])


async def make_indexes(connection: asyncpg.Connection, definitions: Sequence[str]) -> None:
    async with connection.transaction():
        await connection.execute("SET LOCAL maintenance_work_mem = '256MB'")
        for definition in definitions:
            await connection.execute(definition, timeout=LONG_S)
        await connection.execute(q.defer, RUN, None)


async def analyze(pool: Pool, connection: Connection) -> None:
    """Plans would otherwise be made for empty tables."""
    for row in await connection.fetch(q.sample_tables, RUN):
        await pool.execute(f'ANALYZE "{row[0]}"', timeout=LONG_S)


async def offsets_of(connection: Connection, schema: str) -> dict[Position, int]:
    """Where the tables of a schema stand, of every partition that was read from."""
    rows = await connection.fetch(q.offsets.format(schema=schema))
    return {(row["topic"], row["partition"]): row["next_offset"] for row in rows}


async def exchange(connection: asyncpg.Connection, names: Mapping[str, str]) -> None:
    """Renames schemas, in the caller's transaction, from -> to, in this order; functions that look into one by name
    go on looking into the same."""
    for before, after in names.items():
        for row in await connection.fetch(q.pinned, before):
            path = ", ".join(after if name == before else name for name in row["search_path"].split(", "))
            await connection.execute(f"ALTER ROUTINE {row['routine']} SET search_path = {path}")
        await connection.execute(f'ALTER SCHEMA "{before}" RENAME TO "{after}"')


async def hold_fold(connection: asyncpg.Connection, schema: str) -> None:
    """Waits for the fold that is under way in the schema to commit; the next one waits for the caller's transaction.

    Every fold begins with its offsets. Those who only read are not held up.
    """
    await connection.execute(f"LOCK TABLE {schema}.offsets IN EXCLUSIVE MODE")


async def carry_over(connection: asyncpg.Connection, live: str, into: str) -> None:
    await connection.execute(q.carry_over.format(live=live, into=into))


# --- the fold in large steps -----------------------------------------------------------------------------


async def recall(pool: Pool, recipient_ids: Sequence[str]) -> dict[str, Stored]:
    """What the tables have of these recipients."""
    async with pool.acquire() as connection, connection.transaction():
        await store.begin_batch(connection)
        return await store.lock_recipients(connection, recipient_ids)


async def rewrite(connection: Connection, changed: Sequence[tuple[Stored, Stored]]) -> None:
    """Writes back rows that were recalled: before, after. Raises MovedElsewhere."""
    for at in range(0, len(changed), UPDATED_AT_ONCE):
        some = changed[at : at + UPDATED_AT_ONCE]
        found = await connection.fetch(q.histories, [before.row.recipient_id for before, _ in some])
        if {row[0]: row[1] for row in found} != {before.row.recipient_id: before.history for before, _ in some}:
            raise MovedElsewhere("rows were folded by somebody else meanwhile")
        listed = [after for before, after in some if after.row.listed and not before.row.listed]
        await store.update_recipients(connection, [after for _, after in some], listed)


async def make_sample(pool: Pool) -> None:
    """Empty tables like the live ones, for this session alone; of a pool of one connection, into `pg_temp`."""
    for row in await pool.fetch(q.sample_tables, LIVE):
        await pool.execute(f'CREATE TEMPORARY TABLE "{row[0]}" (LIKE {LIVE}."{row[0]}" INCLUDING ALL)')
    await pool.execute(f"INSERT INTO offsets SELECT topic, partition, 0 FROM {LIVE}.offsets")
