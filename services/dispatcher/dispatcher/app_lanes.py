"""Which lanes messages are taken from: whose turn it is, what the carriers bear, what the limits allow."""

import asyncio
import math
import random
import time
from collections import Counter
from datetime import UTC, datetime

import structlog
from kernel.database import Pool
from prometheus_client import Gauge

from dispatcher.budget import Budget, Limits, Name, Purse, unused
from dispatcher.flow import Bounds, Flows, Pressure
from dispatcher.outcome import NotAccepted, Outcome
from dispatcher.routing import Routing
from dispatcher.store import q
from dispatcher.store_intents import Taken
from dispatcher.turns import Lane, Turns

log = structlog.get_logger()

POLL_S = 0.5  # for what other processes queued, and for waits that are over
LISTING_SHARE = 20  # listing lanes takes at most a twentieth of the time, however many there are
FORGET_BEYOND = 20_000

RESTING = Gauge("handsent_dispatch_resting", "Senders that rest after failures or refusals", ["provider"])


class Lanes:
    """One process's view. `queued` says that something may wait in a lane that it does not know of."""

    def __init__(self, pool: Pool, routing: Routing, bounds: Bounds, limits: Limits) -> None:
        self._pool, self._routing, self.limits = pool, routing, limits
        self._turns, self._flows = Turns(), Flows(bounds)
        self._budgets: dict[Name, Budget] = {}  # as they were when last locked, less what was meant to leave since
        self._segments: dict[str, int] = {}  # of each campaign's last text
        self._database_ahead_s = time.time() - time.monotonic()
        self._polled_at = self._listed_at = -math.inf
        self._cost_s = 0.0
        self._resumes_at = math.inf
        self._noticed: set[Lane] = set()  # since lanes were last listed, or could have been
        self._expected: dict[Lane, int] = {}  # all that waits in a lane, where that is known
        self.fresh = asyncio.Event()  # set by what is noticed, for whoever rests
        self.queued = asyncio.Event()

    def notice(self, queued: Counter[Lane]) -> None:
        """So many messages were queued in these lanes, and are committed.

        Where nothing else waited, no more connections are picked for the lane: one message here and there would
        otherwise keep as many from the others, each time, as a million.
        """
        for lane, count in queued.items():
            if lane in self._expected or not self._turns.has(lane):
                self._expected[lane] = self._expected.get(lane, 0) + count
        self._turns.add(queued)
        self._noticed |= set(queued)
        self.fresh.set()

    async def refresh(self) -> None:
        """Reads which lanes have something waiting, when there is reason to."""
        self._noticed.clear()
        now = time.monotonic()
        if now - self._polled_at >= POLL_S:
            self._polled_at = now
            await self._pool.execute(q.end_waits, datetime.now(UTC))
            self.queued.set()
        if self.queued.is_set() and now >= self._may_list_at():
            self.queued.clear()
            began = time.monotonic()
            rows = await self._pool.fetch(q.list_lanes)
            self._turns.listed(Lane(*row) for row in rows)
            self._turns.add(self._noticed)  # committed after they were read, perhaps
            self._expected.clear()
            self._listed_at = time.monotonic()
            self._cost_s = self._listed_at - began

    def pick(self, count: int, now: float) -> Counter[Lane]:
        """How many messages to take off which lane, `count` at most; so many connections are in use from now on."""
        self.fresh.clear()
        self._resumes_at = math.inf
        purse = Purse(self.limits, self._budgets, now + self._database_ahead_s)
        picked = self._turns.pick(count, lambda lane: self._may(lane, purse, now))
        self._resumes_at = min(self._resumes_at, purse.fits_at - self._database_ahead_s)
        return picked

    def rests_until(self, now: float) -> float:
        """When there may be something to pick that there is not now, unless `queued` or a connection says it sooner."""
        listing = max(now, self._may_list_at()) if self.queued.is_set() else math.inf
        return min(self._polled_at + POLL_S, self._resumes_at, listing)

    def took(self, picked: Counter[Lane], taken: Taken, began: float) -> None:
        """What was picked has been taken, as far as it was there and is to go now."""
        intents = Counter(intent.lane for intent in taken.intents)
        for lane, count in picked.items():
            if intents[lane] < count:
                self._expected.pop(lane, None)  # something was put back, or is not what we thought
            if taken.found[lane] < count and lane not in self._noticed:
                self._turns.drained(lane)
        self.spared(picked - intents, began)
        self._learn_budgets(taken)

    def spared(self, picked: Counter[Lane], began: float) -> None:
        """So many of what was picked will not be sent now."""
        for lane, count in picked.items():
            self._expected.pop(lane, None)
            for _ in range(count):
                self.landed(lane, began)

    def landed(self, lane: Lane, began: float) -> None:
        """A POST that was picked at `began` is over, and its outcome committed."""
        self._turns.landed(lane)
        self._flows.landed(self._routing.provider_of(lane.sender), lane.sender, began)

    def admits(self, lane: Lane, began: float) -> bool:
        """Whether the carrier bears one more POST that is nobody's turn, a repeat; it counts as begun at `began` if so.

        Not as begun now: a probe from before its pause ended would not be heard, nor missed when it has landed.
        """
        provider = self._routing.provider_of(lane.sender)
        if not self._flows.room(provider, lane.sender, began):
            return False
        self._flows.took(provider, lane.sender)
        return True

    def repeated(self, lane: Lane, began: float) -> None:
        """A repeat that was admitted is over, or was not made."""
        self._flows.landed(self._routing.provider_of(lane.sender), lane.sender, began)

    def learn(self, lane: Lane, outcome: Outcome, began: float) -> None:
        """What the carrier did, seen just now, to a POST that was picked at `began`."""
        provider, now = self._routing.provider_of(lane.sender), time.monotonic()
        if self._flows.learn(provider, lane.sender, outcome, began, now, random.random()):
            rest_s = round(self._flows.resumes_at(provider, lane.sender) - now, 2)
            said = outcome.reason if isinstance(outcome, NotAccepted) else type(outcome).__name__.lower()
            log.warning("carrier_rests", provider=provider, outcome=said, rest_s=rest_s)

    def provider_of(self, sender: str) -> str:
        """Who carries this sender's texts."""
        return self._routing.provider_of(sender)

    def pressure(self) -> list[Pressure]:
        """How each provider and sender is pressed now, by this process."""
        now = time.monotonic()
        found = list(self._flows.pressure(now))
        resting = Counter(one.provider for one in found if one.sender and (one.resumes_in_s or one.breaker != "closed"))
        for provider in {one.provider for one in found}:
            RESTING.labels(provider).set(resting[provider])
        return found

    def _may(self, lane: Lane, purse: Purse, now: float) -> bool:
        provider = self._routing.provider_of(lane.sender)
        if not self._flows.room(provider, lane.sender, now):
            resumes_at = self._flows.resumes_at(provider, lane.sender)
            if resumes_at > now:
                self._resumes_at = min(self._resumes_at, resumes_at)
            return False
        if self._expected.get(lane) == 0:
            return False
        for name in self.limits.names(lane):
            self._budgets.setdefault(name, unused(self.limits, name, purse.now))
        if not purse.spend(lane, self._segments.get(lane.campaign_id, 1)):
            return False
        self._flows.took(provider, lane.sender)
        if lane in self._expected:
            self._expected[lane] -= 1
        return True

    def _learn_budgets(self, taken: Taken) -> None:
        if not taken.purse.budgets:
            return
        if len(self._budgets) > FORGET_BEYOND:
            self._budgets.clear()
            self._segments.clear()
        self._database_ahead_s = taken.purse.now - time.monotonic()
        self._budgets |= taken.purse.budgets
        self._segments |= taken.segments

    def _may_list_at(self) -> float:
        return self._listed_at + min(LISTING_SHARE * self._cost_s, POLL_S)
