"""Lets go what is due and drops what never will be, chunk by chunk, each in a transaction of its own."""

import asyncio
from collections.abc import Mapping, Sequence

import structlog
from kernel.database import Pool
from kernel.errors import retriable
from kernel.outbox import Outbox
from kernel.steps import reached

from scheduler import store
from scheduler.lateness import Lateness
from scheduler.release import Drop, Group, Waiting, decide, dropped
from scheduler.store import Ask

log = structlog.get_logger()

IDLE_S = 1.0
CAMPAIGNS_PER_ROUND = 1000
DROPPED_AT_ONCE = 1000  # each is decoded and encoded: what is due must not wait for it


class Releases:
    """One loop in each instance; they share the work, each taking what the others have not locked."""

    def __init__(self, pool: Pool, wake_relay: asyncio.Event, chunk: int, lateness: Lateness) -> None:
        self._pool, self._wake_relay, self._chunk, self._lateness = pool, wake_relay, chunk, lateness
        self._work = asyncio.Event()
        # Where to go on: what lies before has been deleted, and would be looked at again until a vacuum.
        self._after: dict[Group, int] = {}

    def go_on(self) -> None:
        """Time has gone on, or a campaign has ended."""
        self._work.set()

    async def run(self) -> None:
        """Works whenever `go_on` was called, and looks once a second for what other instances' news may let go."""
        while True:
            try:
                while await self._round():
                    pass
                await self._wait()
            except Exception as error:
                if not retriable(error):
                    raise
                log.warning("release_retried", error=repr(error))
                await asyncio.sleep(0.5)

    async def _round(self) -> bool:
        """A chunk of what is due and one of what is to be dropped; whether there may be more.

        Every campaign has the same share of a chunk, so that a million of one do not hold up the few of another.
        """
        ready = await store.ready(self._pool, CAMPAIGNS_PER_ROUND)
        drops = {w.group: decision for w in ready if isinstance(decision := decide(w, w.end), Drop)}
        due = [waiting for waiting in ready if waiting.group not in drops]
        ended = [waiting for waiting in ready if waiting.group in drops]
        left = (await self._release(due) if due else 0) + (await self._drop(ended, drops) if ended else 0)
        if left:
            self._wake_relay.set()
        elif self._after:
            self._after.clear()  # perhaps some were passed over because another instance had locked them
            return True
        return left > 0 or (bool(due) and await self._make_ready(due))

    async def _release(self, due: Sequence[Waiting]) -> int:
        ask = self._ask(due, self._chunk)
        reached("release.ready")
        async with self._pool.acquire() as connection:
            left = await store.release(connection, ask)  # one statement: a process that freezes holds nothing locked
        reached("release.committed")
        self._went(ask, {some.group: (some.messages, some.last) for some in left})
        for some in left:
            self._lateness.add(some.late.total_seconds(), some.messages)
        return sum(some.messages for some in left)

    async def _drop(self, ended: Sequence[Waiting], drops: Mapping[Group, Drop]) -> int:
        ask = self._ask(ended, min(self._chunk, DROPPED_AT_ONCE))
        outbox = Outbox()
        async with self._pool.acquire() as connection, connection.transaction():
            taken = await store.take(connection, ask)
            reached("drop.taken")
            for group, messages in taken.items():
                outbox.extend(dropped(message, drops[group]) for _, message in messages)
            await outbox.write(connection)
            reached("drop.written")
        reached("drop.committed")
        self._went(ask, {group: (len(some), max(seq for seq, _ in some)) for group, some in taken.items()})
        return sum(map(len, taken.values()))

    async def _make_ready(self, due: Sequence[Waiting]) -> bool:
        async with self._pool.acquire() as connection, connection.transaction():
            return await store.make_ready(connection, due, self._chunk) > 0

    def _ask(self, waiting: Sequence[Waiting], chunk: int) -> Ask:
        return Ask(waiting, self._after, max(1, chunk // len(waiting)))

    def _went(self, ask: Ask, taken: dict[Group, tuple[int, int]]) -> None:
        for waiting in ask.waiting:
            messages, last = taken.get(waiting.group, (0, 0))
            if messages == ask.each:
                self._after[waiting.group] = last
            else:
                self._after.pop(waiting.group, None)

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(IDLE_S):
                await self._work.wait()
        except TimeoutError:
            # Two instances that commit what a reading waits for at the same moment do not see each other's offsets.
            async with self._pool.acquire() as connection:
                await store.advance_watermark(connection)
            return
        self._work.clear()
