"""The run against the live tables, both as of the same offsets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from kernel import database
from kernel.verdict import Refused as RefusedEvent

from projections import app_run, store_diff, store_run
from projections.app_run import Run, Say
from projections.comparison import Comparison, in_common
from projections.store_run import LIVE, ROLE, RUN, Refused


async def diff(url: str, bootstrap: str, say: Say) -> Comparison:
    """Takes one moment of the live tables, brings the run to exactly its offsets, and compares. Nothing waits for it.

    Raises Refused.
    """
    async with store_run.session(url) as admin, app_run.opened(url, bootstrap, admin) as run:
        found = await compared(run, say)
        await store_run.compared(admin, found.equal)
        return found


async def compared(run: Run, say: Say) -> Comparison:
    began = asyncio.get_running_loop().time()
    async with _at_one_moment(run.url) as live:
        until = await store_run.offsets_of(live, LIVE)
        await _bring(run, until, say)
        refused = [RefusedEvent(*position, offset) for position, offset in sorted(run.stopped.items())]
        async with _at_one_moment(run.url) as ours:
            tables, ignored = in_common(
                await store_diff.columns(live, LIVE), await store_diff.columns(ours, RUN), store_diff.OF_KERNEL
            )
            found = [await store_diff.compare(live, ours, table) for table in tables]
    return Comparison(found, ignored, refused, until, asyncio.get_running_loop().time() - began)


async def _bring(run: Run, until: app_run.Offsets, say: Say) -> None:
    """To exactly these offsets. Raises Refused when the run is far behind, or beyond them."""
    if (behind := await run.behind(until)) > app_run.NEAR:
        raise Refused(f"the run is {behind:,} events behind: `handsent replay run` goes on with it")
    if beyond := await run.beyond(until):
        raise Refused(f"the run is {beyond:,} events ahead of projections: wait until it has read them")
    await run.fold(until)
    await run.settle(say)


@asynccontextmanager
async def _at_one_moment(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await database.connect(
        url, ROLE, statement_timeout="0", idle_in_transaction_session_timeout="0", work_mem="64MB"
    )
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            yield connection
    finally:
        await connection.close()
