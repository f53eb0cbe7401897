"""The run takes the place of the live tables, and gives it back: one transaction, while projections goes on."""

import asyncio
from typing import NamedTuple

import asyncpg
from kernel import database
from kernel.steps import reached

from projections import app_run, store_run
from projections.app_run import Offsets, Run
from projections.store_run import LIVE, OLD, RUN, Refused, State

# The live fold waits as long as this for the last events, well below its own lock_timeout (10 s).
LAST_EVENTS_S = 3.0
LOCK = "5s"
FROZEN = "30s"
PATIENCE_S = 60.0


class Promoted(NamedTuple):
    """At how many events the tables that are live now stand, and how many those that were live have more."""

    events: int
    behind: int


async def promote(url: str, bootstrap: str, forced: bool) -> Promoted:
    """Puts the run in the place of the live tables, which are kept as `projections_old`; a former one is dropped.

    Raises Refused when the run cannot be brought to the live offsets, was not compared, or was found to differ. When it
    is `forced`, projections itself folds afterwards what is lacking.
    """
    async with store_run.session(url) as admin, app_run.opened(url, bootstrap, admin) as run:
        if not forced:
            _check(await store_run.state(admin))
        await run.settle(lambda _line: None)
        await _near(run, forced)
        try:
            async with admin.transaction():
                done = await _exchanged(run, forced)
        except asyncpg.LockNotAvailableError:
            raise Refused("somebody still reads the former tables, or folds for long: try again") from None
        reached("promote.committed")
        return done


async def _exchanged(run: Run, forced: bool) -> Promoted:
    admin = run.admin
    await _begin(admin)
    if OLD in await store_run.schemas(admin):
        await admin.execute(f'DROP SCHEMA "{OLD}" CASCADE')
    await store_run.hold_fold(admin, LIVE)
    until = await run.live()
    await _last_events(run, until, forced)
    await store_run.hold_fold(admin, RUN)
    behind = await run.behind(until)
    if behind and not forced:
        raise Refused(f"the run stands still {behind:,} events before the live tables")
    await store_run.carry_over(admin, LIVE, RUN)
    await store_run.exchange(admin, {LIVE: OLD, RUN: LIVE})
    reached("promote.exchanged")
    return Promoted(sum(until.values()) - behind, behind)


def _check(state: State | None) -> None:
    if state is None or state.caught_up_at is None:
        raise Refused("the run has not caught up: `handsent replay run` goes on with it")
    if state.compared_at is None:
        raise Refused("the run was not compared with the live tables: `handsent replay diff` does it")
    if not state.equal:
        raise Refused(
            "the run was found to differ from the live tables: if that is wanted, say so with --force and --reason"
        )


async def _begin(admin: asyncpg.Connection) -> None:
    """No service that starts may migrate meanwhile; nor wait for us for ever, should we freeze."""
    await admin.execute(
        f"SET LOCAL lock_timeout = '{LOCK}'; SET LOCAL idle_in_transaction_session_timeout = '{FROZEN}'"
    )
    await admin.execute("SELECT pg_advisory_xact_lock(hashtextextended('handsent.migrate', 0))")


async def _near(run: Run, forced: bool) -> None:
    """So near the live offsets that the rest is folded while the live fold waits."""
    until = await run.live()
    if beyond := await run.beyond(until):
        raise Refused(f"the run is {beyond:,} events ahead of projections: wait until it has read them")
    behind = await run.behind(until)
    if behind > app_run.NEAR and not forced:
        raise Refused(f"the run is {behind:,} events behind: `handsent replay run` goes on with it")
    if behind <= app_run.NEAR:
        await run.fold(until)


async def _last_events(run: Run, until: Offsets, forced: bool) -> None:
    if forced and await run.behind(until) > app_run.NEAR:
        return
    try:
        async with asyncio.timeout(LAST_EVENTS_S):
            await run.fold(until)
    except TimeoutError:
        raise Refused("the last events could not be folded while projections waits: try again") from None


async def back(url: str) -> Promoted:
    """Puts the tables that a promote has put aside back in their place; those that were live are a run again.

    Projections itself folds what they lack: it reads its offsets anew. Raises Refused.
    """
    async with store_run.session(url) as admin, store_run.alone(admin, app_run.WAIT_S):
        there = await store_run.schemas(admin)
        if OLD not in there:
            raise Refused("there are no former tables to go back to")
        if RUN in there:
            raise Refused("there is a run: `handsent replay abort` drops it")
        async with admin.transaction():
            await _begin(admin)
            await store_run.hold_fold(admin, LIVE)
            until = await store_run.offsets_of(admin, LIVE)
            stored = await store_run.offsets_of(admin, OLD)
            await store_run.carry_over(admin, LIVE, OLD)
            await store_run.exchange(admin, {LIVE: RUN, OLD: LIVE})
            reached("back.exchanged")
        events = sum(stored.values())
        return Promoted(events, sum(until.values()) - events)


async def caught_up_again(url: str, patience_s: float = PATIENCE_S) -> int:
    """Waits until the live tables have what the run has; how many events they still lack after `patience_s`."""
    deadline = asyncio.get_running_loop().time() + patience_s
    connection = await database.connect(url, LIVE)
    try:
        until = await store_run.offsets_of(connection, RUN)
        while True:
            stored = await store_run.offsets_of(connection, LIVE)
            behind = sum(max(0, end - stored.get(position, 0)) for position, end in until.items())
            if not behind or asyncio.get_running_loop().time() > deadline:
                return behind
            await asyncio.sleep(0.2)
    finally:
        await connection.close()
