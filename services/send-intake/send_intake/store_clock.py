"""The clock: time becomes an event, published behind every END that it covers."""

import time
from datetime import datetime

from kernel.kafka import Watcher
from kernel.relay import Leader
from kernel.steps import reached

from schemas.codec import encode
from schemas.events import ClockAdvanced
from schemas.identity import HANDSENT, event_id
from send_intake.store import q

CAMPAIGNS = "campaigns"


class Clock:
    """Ticks in the hands of the elected relay."""

    def __init__(self, watcher: Watcher, partitions: int, interval_ms: int) -> None:
        self._watcher, self._interval_s = watcher, interval_ms / 1000
        self._positions = [(CAMPAIGNS, partition) for partition in range(partitions)]
        self._last = 0.0

    async def tick(self, leader: Leader) -> None:
        """Publishes `at` and the `campaigns` offsets that hold every END up to it; does nothing before its interval.

        The order is the guarantee: read and store the time while no END is open, commit, then move every END to the
        log, then ask how far the log reaches, then publish.
        """
        if time.monotonic() - self._last < self._interval_s:
            return
        self._last = time.monotonic()
        at = await _read(leader)
        reached("clock.read")
        while await leader.move(CAMPAIGNS):
            pass
        reached("clock.moved")
        ends = await self._watcher.ends(self._positions)
        reached("clock.ends")
        event = _advanced(at, {str(partition): ends[topic, partition] for topic, partition in self._positions})
        await leader.produce({"clock": [(None, encode(event))]})
        reached("clock.produced")


async def _read(leader: Leader) -> datetime:
    async with leader.connection.transaction():
        await leader.connection.execute(q.lock_clock)
        at: datetime = await leader.connection.fetchval(q.tick)
        return at


def _advanced(at: datetime, campaigns_offsets: dict[str, int]) -> ClockAdvanced:
    return ClockAdvanced(
        event_id=event_id(HANDSENT, f"ClockAdvanced:{at.isoformat()}"),
        occurred_at=at,
        actor="send-intake",
        caused_by=None,
        at=at,
        campaigns_offsets=campaigns_offsets,
    )
