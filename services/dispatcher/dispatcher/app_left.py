"""What was left open: by the dead and the frozen, by unclear commits of our own, by carriers that say nothing."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta

import asyncpg
import structlog
from kernel.database import Pool
from kernel.errors import retriable
from kernel.steps import reached

from dispatcher import app_marks
from dispatcher.app_intents import Intents
from dispatcher.app_marks import Marks
from dispatcher.app_outcomes import Outcomes
from dispatcher.app_owner import Owner
from dispatcher.attempt import Evidence, NeverPosted
from dispatcher.outcome import Unknown
from dispatcher.provider import KEYED
from dispatcher.settings import Settings
from dispatcher.store import q
from dispatcher.store_attempts import Key, Proof
from dispatcher.store_callbacks import forget
from dispatcher.store_repeats import PutBack, put_back
from dispatcher.store_sweep import sweep
from schemas.reasons import UnresolvedReason

log = structlog.get_logger()

LOOK_S = 1.0
SWEEP_S = 60.0
KILLED = Unknown(UnresolvedReason.PROCESS_KILLED)


class Left:
    """Closes what nobody else will. Whoever finds another's intent open may only resolve it, never POST it."""

    def __init__(
        self, pool: Pool, owner: Owner, marks: Marks, intents: Intents, outcomes: Outcomes, settings: Settings
    ) -> None:
        self._pool, self._owner, self._marks, self._intents, self._outcomes = pool, owner, marks, intents, outcomes
        self._patience = timedelta(seconds=settings.unconfirmed_after_s)
        self._repeat_after = timedelta(seconds=settings.repeat_after_s)

    async def look(self) -> None:
        """Every second, for ever: the intents of the dead, and our own that we never POSTed."""
        while True:
            await self._unless_away(self._give_up_abandoned)
            await self._unless_away(self._close_unclear)
            await asyncio.sleep(LOOK_S)

    async def sweep(self) -> None:
        """Every minute, for ever: attempts that have waited for a receipt long enough, callbacks kept long enough."""
        while True:
            await self._unless_away(self._sweep)
            await asyncio.sleep(SWEEP_S)

    async def _unless_away(self, step: Callable[[], Awaitable[None]]) -> None:
        try:
            await step()
        except Exception as error:
            if not retriable(error):
                raise
            log.warning("left_retried", error=repr(error))

    async def _give_up_abandoned(self) -> None:
        """With a key they are asked again by whoever comes first; without one nobody will ever know more by asking."""
        await self._owner.held()
        rows = await self._pool.fetch(q.abandoned, self._owner.numbers)
        if not rows:
            return
        never_left = self._never_left(rows)
        gone, begun = [row for row in rows if _key(row) in never_left], [r for r in rows if _key(r) not in never_left]
        (gone_keyed, gone), (begun_keyed, begun) = _apart(gone), _apart(begun)
        keyed = len(gone_keyed) + len(begun_keyed)
        log.warning("attempts_abandoned", attempts=len(begun), never_left=len(gone), to_repeat=keyed)
        reached("left.found")
        now = datetime.now(UTC)
        await self._ask_again([(row, [row["owner"]]) for row in gone_keyed], now, None)
        await self._ask_again([(row, [row["owner"]]) for row in begun_keyed], now + self._repeat_after, KILLED)
        await self._close(gone, NeverPosted())
        await self._close(begun, KILLED)
        reached("left.closed")

    def _never_left(self, rows: Sequence[asyncpg.Record]) -> set[Key]:
        """Those whose dead owner had noted, on this machine, what it was about to POST, and not them."""
        found: set[Key] = set()
        for name in {row["name"] for row in rows if row["name"] is not None}:
            begun = app_marks.begun(self._marks.folder, name)
            if begun is not None:
                found |= {_key(row) for row in rows if row["name"] == name} - begun
        return found

    async def _close_unclear(self) -> None:
        """Ours, committed and not flying: the commit was unclear when it happened, so nothing was POSTed.

        What landed between the two looks is no longer open, and NeverPosted moves only what is. But one with a key may
        have landed, still be open, and wait to be asked again: so it is asked again, which is right in either case.
        """
        rows = await self._pool.fetch(q.owned_by_us, self._owner.numbers)
        unclear = [row for row in rows if _key(row) not in self._intents.flying]
        if not unclear:
            return
        keyed, others = _apart(unclear)
        log.warning("intents_unclear", intents=len(others), to_repeat=len(keyed))
        await self._ask_again([(row, list(self._owner.numbers)) for row in keyed], datetime.now(UTC), None)
        await self._close(others, NeverPosted())

    async def _ask_again(
        self, rows: Sequence[tuple[asyncpg.Record, list[int]]], at: datetime, doubt: Unknown | None
    ) -> None:
        items = [PutBack(row["recipient_id"], row["attempt"], owners, at, doubt) for row, owners in rows]
        await put_back(self._pool, items)

    async def _close(self, rows: Sequence[asyncpg.Record], evidence: Evidence) -> None:
        at = datetime.now(UTC)
        if rows:
            await self._outcomes.settle([Proof(row["recipient_id"], row["attempt"], evidence, at) for row in rows])

    async def _sweep(self) -> None:
        now = datetime.now(UTC)
        await sweep(self._pool, now, self._patience)
        await forget(self._pool, now)
        for row in await self._pool.fetch(q.forget_marks, self._owner.numbers):
            app_marks.forget(self._marks.folder, row["name"])


def _key(row: asyncpg.Record) -> Key:
    return row["recipient_id"], row["attempt"]


def _apart(rows: Sequence[asyncpg.Record]) -> tuple[list[asyncpg.Record], list[asyncpg.Record]]:
    """Those with an idempotency key, and the others."""
    keyed = [row for row in rows if row["provider"] in KEYED]
    return keyed, [row for row in rows if row["provider"] not in KEYED]
