"""Interleavings without luck: a test holds a lock open, and goes on once the other side stands before it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from kernel.database import Pool, connect
from kernel.testing import eventually

WAITING = """
SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
 WHERE a.datname = current_database() AND NOT l.granted AND l.locktype = ANY ($1)"""
# What an END holds, but for its haste: Postgres would end it after 2 s.
LOCK_CAMPAIGN = "SELECT pg_advisory_xact_lock(hashtextextended($1::text, 1))"
ADVISORY, ROW, TABLE = ["advisory"], ["transactionid", "tuple"], ["relation"]


@asynccontextmanager
async def held(database_url: str, statement: str, *arguments: object) -> AsyncIterator[asyncpg.Connection]:
    """The statement's transaction stands open; its locks go with the end of the block, what it did stays."""
    connection = await connect(database_url, "send_intake")
    try:
        async with connection.transaction():
            await connection.execute(statement, *arguments)
            yield connection
    finally:
        await connection.close()


async def waiting(pool: Pool, kind: list[str], count: int = 1) -> None:
    """Until so many sessions stand before a lock of this kind."""

    async def stand() -> bool:
        return int(await pool.fetchval(WAITING, kind)) >= count

    await eventually(stand, f"{count} wait for a lock ({', '.join(kind)})")


async def waiting_or_done(pool: Pool, kind: list[str], *tasks: "asyncio.Task[object]") -> None:
    """Until the tasks are done or somebody stands before a lock: whichever the code under test allows."""

    async def settled() -> bool:
        return all(task.done() for task in tasks) or int(await pool.fetchval(WAITING, kind)) > 0

    await eventually(settled, "it waits, or is done")
