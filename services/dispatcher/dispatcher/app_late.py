"""What waits past its latest useful time is told so, also while its carrier is away and nothing has its turn."""

import asyncio
from datetime import UTC, datetime

import structlog
from kernel.database import Pool
from kernel.errors import retriable

from dispatcher.app_intents import SUPPRESSED
from dispatcher.store_late import suppress_late

log = structlog.get_logger()

LOOK_S = 2.0


async def look_for_late(pool: Pool, wake_relay: asyncio.Event) -> None:
    """Every few seconds, for ever."""
    while True:
        try:
            await _look(pool, wake_relay)
        except Exception as error:
            if not retriable(error):
                raise
            log.warning("late_retried", error=repr(error))
        await asyncio.sleep(LOOK_S)


async def _look(pool: Pool, wake_relay: asyncio.Event) -> None:
    more = True
    while more:
        count, more = await suppress_late(pool, datetime.now(UTC))
        if count:
            SUPPRESSED.inc(count)
            wake_relay.set()
        await asyncio.sleep(0)
