"""What the scheduler does with each batch, and the loop that lets due messages go."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from kernel.database import Connection, Pool
from kernel.errors import retriable
from kernel.outbox import Outbox
from kernel.received import Received
from kernel.steps import reached

from scheduler import store
from scheduler.release import Hold, admit, as_event, decide
from schemas.events import CampaignEnded, ClockAdvanced, RecipientProcessed

log = structlog.get_logger()

TOPICS = ("campaigns", "processed", "clock")
IDLE_S = 1.0


class Scheduler:
    """Its handlers run inside the batch loop's transaction; `run` releases in transactions of its own."""

    def __init__(self, pool: Pool, wake_relay: asyncio.Event, chunk: int) -> None:
        self._pool, self._wake_relay, self._chunk = pool, wake_relay, chunk
        self._work = asyncio.Event()
        self._something_may_go = False

    async def handle(self, connection: Connection, batch: list[Received], outbox: Outbox) -> None:
        ends = [e for e, *_ in batch if isinstance(e, CampaignEnded)]
        clocks = [e for e, *_ in batch if isinstance(e, ClockAdvanced)]
        messages = [e for e, *_ in batch if isinstance(e, RecipientProcessed)]
        if ends:
            await store.end_campaigns(connection, ends)
        if clocks:
            await store.keep_clocks(connection, clocks)
        if messages:
            await self._admit(connection, messages, outbox)
        time_went_on = bool(clocks or ends) and await store.advance_watermark(connection)
        self._something_may_go = self._something_may_go or time_went_on or bool(ends)

    def committed(self) -> None:
        """Called after each commit of the batch loop: only now can `run` see what `handle` did."""
        if self._something_may_go:
            self._something_may_go = False
            self._work.set()

    async def _admit(self, connection: Connection, messages: list[RecipientProcessed], outbox: Outbox) -> None:
        ends = await store.ends_of(connection, (m.campaign_id for m in messages if m.scheduled_for is not None))
        held: list[RecipientProcessed] = []
        for message in messages:
            decision = admit(message, ends.get(message.campaign_id))
            if isinstance(decision, Hold):
                held.append(message)
            else:
                outbox.add(as_event(message, decision))
        if held:
            await store.hold(connection, held)

    async def run(self) -> None:
        """Releases and drops whatever can go, chunk by chunk, whenever time has gone on or a campaign has ended."""
        while True:
            try:
                while await self._release_chunk() + await self._drop_chunk():
                    pass
                await self._wait()
            except Exception as error:
                if not retriable(error):
                    raise
                log.warning("release_retried", error=repr(error))
                await asyncio.sleep(0.5)

    async def _release_chunk(self) -> int:
        return await self._chunk_of("release", lambda c: store.take_due(c, self._chunk))

    async def _drop_chunk(self) -> int:
        campaigns = await store.ended_early(self._pool)
        if not campaigns:
            return 0
        return await self._chunk_of("drop", lambda c: store.take_dropped(c, self._chunk, campaigns))

    async def _chunk_of(self, what: str, take: Callable[[Connection], Awaitable[list[RecipientProcessed]]]) -> int:
        """One transaction: a chunk leaves `held`, and what became of it enters the outbox."""
        async with self._pool.acquire() as connection, connection.transaction():
            messages = await take(connection)
            if not messages:
                return 0
            reached(f"{what}.taken")
            # In a statement of its own, after the watermark was read: it sees every END the watermark covers.
            ends = await store.ends_of(connection, (m.campaign_id for m in messages))
            outbox = Outbox()
            outbox.extend(as_event(m, decide(m, ends.get(m.campaign_id))) for m in messages)
            await outbox.write(connection)
            reached(f"{what}.written")
        reached(f"{what}.committed")
        self._wake_relay.set()
        return len(messages)

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(IDLE_S):
                await self._work.wait()
        except TimeoutError:
            return
        self._work.clear()
