"""Answers that are texts of their own, ahead of all campaigns: one POST each, or none."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

import structlog
from kernel.database import Pool
from kernel.errors import retriable
from kernel.vault import Vault

from dispatcher import notice, outcome, store_notices
from dispatcher.app_connections import Connections
from dispatcher.gateway import Gateways
from dispatcher.notice import State, Texts
from dispatcher.outcome import NoAnswer, Seen
from dispatcher.provider import Text, key_of_notice
from dispatcher.store_notices import Notice

log = structlog.get_logger()

POLL_S = 0.5
AT_ONCE = 20
NOTICE_LIFE_S = 5.0  # as an intent: what has waited longer, for a connection or frozen, is decided anew
SURELY_OVER = timedelta(minutes=2)  # the longest POST takes one: CARRIER_TIMEOUT_S is 60 at most


class Notices:
    """Serves the table `notices`, beside the queue of campaigns and independent of it."""

    def __init__(self, pool: Pool, vault: Vault, texts: Texts, gateways: Gateways, connections: Connections) -> None:
        self._pool, self._vault, self._texts = pool, vault, texts
        self._gateways, self._connections = gateways, connections

    async def run(self) -> None:
        """Until cancelled; what was taken is POSTed and recorded before it ends."""
        while True:
            serving = asyncio.create_task(self.serve())
            try:
                served = await asyncio.shield(serving)
            except asyncio.CancelledError:
                await asyncio.gather(serving, return_exceptions=True)
                raise
            if served < AT_ONCE:
                await asyncio.sleep(POLL_S)

    async def serve(self) -> int:
        """POSTs what waits, once; how many that were."""
        began, now = time.monotonic(), datetime.now(UTC)
        try:
            if not await store_notices.any_open(self._pool):
                return 0
            await store_notices.give_up(self._pool, now - SURELY_OVER)
            async with self._pool.acquire() as connection, connection.transaction():
                taken = await store_notices.take(connection, self._vault, self._texts, now, AT_ONCE)
        except Exception as error:  # also of an unclear commit: nothing is POSTed, and what is marked is given up
            if not retriable(error):
                raise
            log.warning("notices_not_taken", error=repr(error))
            return 0
        await asyncio.gather(*(self._send(one, began) for one in taken))
        return len(taken)

    async def _asked(self, text: Text, key: str) -> Seen:
        """One answer that cannot be asked for must not end the process: nobody knows of it, and it is given up."""
        try:
            return await self._gateways.ask(text, key)
        except Exception as error:
            log.error("notice_broke", exc_info=error)
            return NoAnswer.CONNECTION_LOST

    async def _send(self, one: Notice, taken_at: float) -> None:
        """`taken_at` is monotonic, from before it was decided that the answer may go."""
        text = Text(one.number, one.sender, self._texts.of(one.kind), "")
        async with self._connections.ahead():
            if time.monotonic() - taken_at > NOTICE_LIFE_S:
                seen: Seen = NoAnswer.EXPIRED
            else:
                seen = await self._asked(text, key_of_notice(one.carrier_message_id))
        state, now = notice.after(outcome.classify(seen)), datetime.now(UTC)
        rests = state == State.WAITING and seen != NoAnswer.EXPIRED
        not_before = now + notice.RETRY if rests else None
        try:
            await store_notices.move(self._pool, {one.carrier_message_id: state}, now, not_before)
        except Exception as error:
            if not retriable(error):
                raise
            log.warning("notice_not_recorded", error=repr(error))  # it stays `posting`, and is given up
