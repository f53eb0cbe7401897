"""What operators see: the clock and what keeps it, what waits, how late messages go; an alarm when time stops."""

import asyncio
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import structlog
from kernel.database import Pool
from kernel.errors import retriable
from prometheus_client import REGISTRY, Gauge
from prometheus_client.core import HistogramMetricFamily

from scheduler.app_rebuild import forget_gone
from scheduler.lateness import Lateness
from scheduler.store import q

log = structlog.get_logger()

EVERY_S = 1.0
STOPPED_AFTER_S = 5.0  # a reading comes four times a second
HOURS = 48

CLOCK_STOPPED = Gauge("handsent_clock_stopped", "1 while no reading of the clock has come through for 5 s")
CLOCK_AGE = Gauge("handsent_clock_age_seconds", "How far the watermark is behind the time, by Postgres' clock")
HELD = Gauge("handsent_held_messages", "Messages that wait for their time")
OVERDUE = Gauge("handsent_overdue_messages", "Messages whose time the watermark has reached, not yet let go")


class _LatenessMetric:
    """A histogram that was counted elsewhere, a chunk at a time."""

    def __init__(self, lateness: Lateness) -> None:
        self._lateness = lateness

    def collect(self) -> Iterator[HistogramMetricFamily]:
        yield HistogramMetricFamily(
            "handsent_release_lateness_seconds",
            "From due to released",
            buckets=self._lateness.buckets(),
            sum_value=self._lateness.sum_s,
        )


class Watch:
    """Looks once a second; `status` adds what it takes a question more to know."""

    def __init__(self, pool: Pool, lateness: Lateness) -> None:
        self._pool, self._lateness = pool, lateness
        self._watermark: datetime | None = None
        self._moved = time.monotonic()
        self._alarmed = False

    async def run(self) -> None:
        REGISTRY.register(_LatenessMetric(self._lateness))
        while True:
            try:
                await self._look()
                await forget_gone(self._pool)
            except Exception as error:
                if not retriable(error):
                    raise
                self._judge()  # with Postgres away the clock stands still, too
                log.warning("watch_retried", error=repr(error))
            await asyncio.sleep(EVERY_S)

    async def _look(self) -> dict[str, Any]:
        row = await self._pool.fetchrow(q.outlook)
        assert row is not None
        outlook = dict(row, age_s=max(0.0, row["age"].total_seconds()))
        del outlook["age"]
        if outlook["watermark"] != self._watermark:
            self._watermark, self._moved = outlook["watermark"], time.monotonic()
        self._judge()
        CLOCK_AGE.set(outlook["age_s"])
        HELD.set(outlook["held"])
        OVERDUE.set(outlook["overdue"])
        return outlook

    def _judge(self) -> None:
        """By this process's own clock: the host's may jump, and it is the movement that counts."""
        stands_s = time.monotonic() - self._moved
        stopped = stands_s > STOPPED_AFTER_S
        if stopped and not self._alarmed:
            log.error("clock_stopped", watermark=str(self._watermark), stands_s=round(stands_s, 1))
        elif self._alarmed and not stopped:
            log.info("clock_goes_on", watermark=str(self._watermark))
        self._alarmed = stopped
        CLOCK_STOPPED.set(stopped)

    async def status(self) -> dict[str, Any]:
        """The clock, what is held and for when, how late messages went; `stuck` names what keeps the clock."""
        outlook = await self._look()
        behind = [dict(row) for row in await self._pool.fetch(q.uncovered)]
        return {
            "watermark": outlook["watermark"],
            "next_due": outlook["next_due"],
            "held": outlook["held"],
            "overdue": outlook["overdue"],
            "clock": {
                "age_s": round(outlook["age_s"], 3),
                "stopped": self._alarmed,
                "readings_not_covered": outlook["clocks_uncovered"],
                "waits_for": behind,
            },
            "held_ahead": [dict(row) for row in await self._pool.fetch(q.ahead, HOURS)],
            "lateness": self._lateness.summary(),
            "rebuilding": outlook["rebuilding"],
            "stuck": [self._why(behind)] if self._alarmed else [],
        }

    def _why(self, behind: list[dict[str, Any]]) -> dict[str, Any]:
        stands = f"no time has come through for {time.monotonic() - self._moved:.0f} s, held messages wait: "
        if not behind:
            return {"topic": "clock", "reason": stands + "send-intake publishes none, or its Kafka or Postgres is away"}
        places = ", ".join(f"{one['partition']} ({one['events']} events)" for one in behind)
        return {"topic": "campaigns", "reason": stands + f"unread before it in campaigns: partition {places}"}
