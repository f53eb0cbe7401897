"""The clock: time becomes an event, published behind every END that it covers, and never below what was published."""

import asyncio
import time
from datetime import UTC, datetime

import asyncpg
import structlog
from kernel import kafka
from kernel.database import Pool, Row
from kernel.relay import Leader
from kernel.steps import reached
from prometheus_client import Gauge

from schemas.codec import UndecodableEvent, decode, encode
from schemas.events import ClockAdvanced
from schemas.identity import HANDSENT, event_id
from send_intake.store import q

log = structlog.get_logger()

CAMPAIGNS, CLOCK = "campaigns", "clock"
NEWEST = 100  # records of the topic that a new leader looks at: one that was frozen may have added an older one last
READ_WITHIN_S = 4.0  # Postgres takes a leader that is silent for 5 s for frozen
AHEAD_S = 1.0
AHEAD = Gauge(
    "handsent_clock_ahead_seconds", "How far the clock is ahead of the database host's, as the leader sees it"
)


class Clock:
    """Ticks in the hands of the elected relay."""

    def __init__(self, bootstrap: str, watcher: kafka.Watcher, partitions: int, interval_ms: int) -> None:
        self._bootstrap, self._watcher, self._interval_s = bootstrap, watcher, interval_ms / 1000
        self._positions = [(CAMPAIGNS, partition) for partition in range(partitions)]
        self._last = 0.0
        self._leader: Leader | None = None  # whose term it is
        self._published = datetime.fromtimestamp(0, UTC)
        self._ahead = False

    async def tick(self, leader: Leader) -> None:
        """Publishes `at` and the `campaigns` offsets that hold every END up to it; does nothing before its interval.

        The order is the guarantee: read and store the time while no END is open, commit, then move every END to the
        log, then ask how far the log reaches, then publish.
        """
        if time.monotonic() - self._last < self._interval_s:
            return
        self._last = time.monotonic()
        if leader is not self._leader:
            await self._learn()
            self._leader = leader
        at = await self._read(leader)
        if at is None:
            return
        reached("clock.read")
        while await leader.move(CAMPAIGNS):
            pass
        reached("clock.moved")
        event = _advanced(at, await self._ends(leader))
        reached("clock.ends")
        await leader.produce({CLOCK: [(None, encode(event))]})
        reached("clock.produced")

    async def _ends(self, leader: Leader) -> dict[str, int]:
        """Of each partition of `campaigns` the end, or what was acknowledged if that is further: a broker that has not
        heard yet of its successor answers with an end of its own, which need not cover what the other one took."""
        ends = await self._watcher.ends(self._positions)
        for row in await leader.connection.fetch(q.produced, CAMPAIGNS):
            position = CAMPAIGNS, row["partition"]
            ends[position] = max(ends.get(position, 0), row["next_offset"])
        return {str(partition): end for (_, partition), end in ends.items()}

    async def _learn(self) -> None:
        """What was published is in the topic, also when Postgres was put back to an older state or has lost it all."""
        async with asyncio.timeout(READ_WITHIN_S):
            values = await kafka.newest(self._bootstrap, (CLOCK, 0), NEWEST)
        self._published = max([self._published, *filter(None, map(_reading, values))])

    async def _read(self, leader: Leader) -> datetime | None:
        """None when an END holds the clock for too long: events must not wait for it, and time can."""
        try:
            row = await leader.connection.fetchrow(q.tick, self._published)
        except asyncpg.LockNotAvailableError:
            log.warning("clock_waits_for_an_end")
            return None
        assert row is not None
        self._published = row["at"]  # or will be; nothing that is in no topic is lost by it
        self._watch(row["ahead_s"])
        return self._published

    def _watch(self, ahead_s: float) -> None:
        """Says when the clock is ahead of the host's, which it then waits for in steps of 1 µs."""
        AHEAD.set(max(0.0, ahead_s))
        if (ahead := ahead_s > AHEAD_S) != self._ahead:
            self._ahead = ahead
            if ahead:
                log.error("clock_ahead", ahead_s=round(ahead_s, 3))
            else:
                log.info("clock_caught_up")


async def state(pool: Pool) -> dict[str, float | bool]:
    """For /status: seconds the clock is ahead of the host's; whether ENDs may go by it."""
    row: Row | None = await pool.fetchrow(q.clock_state)
    assert row is not None
    return {"clock_ahead_s": round(max(0.0, row["ahead_s"]), 3), "clock_confirmed": row["confirmed"]}


def _reading(value: bytes) -> datetime | None:
    try:
        event = decode(value)
    except UndecodableEvent as error:  # among a hundred, and no reason to end the service
        log.error("clock_reading_undecodable", error=str(error))
        return None
    return event.at if isinstance(event, ClockAdvanced) else None


def _advanced(at: datetime, campaigns_offsets: dict[str, int]) -> ClockAdvanced:
    return ClockAdvanced(
        event_id=event_id(HANDSENT, f"ClockAdvanced:{at.isoformat()}"),
        occurred_at=at,
        actor="send-intake",
        caused_by=None,
        at=at,
        campaigns_offsets=campaigns_offsets,
    )
