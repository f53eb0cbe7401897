"""The way out: as many intents as carrier connections are free, one POST each, its outcome into Postgres."""

import asyncio
import random
import time
from collections import Counter as Count
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

import structlog
from kernel.database import Pool
from kernel.errors import retriable
from kernel.outbox import Outbox
from kernel.vault import Vault
from prometheus_client import Counter, Gauge, Histogram

from dispatcher import callback, outcome, retry
from dispatcher.app_connections import Connections
from dispatcher.app_lanes import Lanes
from dispatcher.app_outcomes import Outcomes
from dispatcher.app_owner import Owner
from dispatcher.gateway import Text, TwilioGateway
from dispatcher.outcome import NoAnswer, NotAccepted, Outcome
from dispatcher.settings import Settings
from dispatcher.store_attempts import Key, Proof
from dispatcher.store_intents import Intent, Terms, take_intents
from dispatcher.turns import Lane
from schemas.reasons import NotAcceptedReason

log = structlog.get_logger()

MOST_INTENTS = 200
LINGER_S = 0.015  # busy: intents share a commit; idle: the first one does not wait
INTENT_LIFE_S = 5.0
POSTGRES_AWAY_S = 0.5
SHORTEST_REST_S = 0.001

OUTCOMES = Counter("handsent_dispatch_outcomes_total", "Attempts by what became of the POST", ["outcome"])
SUPPRESSED = Counter("handsent_dispatch_suppressed_total", "Messages not sent because of an opt-out or an erasure")
IN_FLIGHT = Gauge("handsent_dispatch_in_flight", "Attempts of this process without a recorded outcome")
INTENT = Histogram("handsent_dispatch_intent_seconds", "From taking intents to their commit", buckets=[
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5])  # fmt: skip
CARRIER = Histogram("handsent_dispatch_carrier_seconds", "From the POST to what was seen of it")


@dataclass(frozen=True, slots=True)
class _Flight:
    """`taken_at` is monotonic, from when its lane was picked, before the intent's commit."""

    intent: Intent
    taken_at: float


class Intents:
    """Takes intents for as long as it runs; when cancelled it takes no more and finishes what it has."""

    def __init__(
        self, pool: Pool, vault: Vault, owner: Owner, gateway: TwilioGateway, outcomes: Outcomes, settings: Settings,
        relay: asyncio.Event, lanes: Lanes, connections: Connections,
    ) -> None:  # fmt: skip
        self._pool, self._vault, self._owner = pool, vault, owner
        self._gateway, self._outcomes = gateway, outcomes
        self._public_url, self._callback_key = settings.public_url, settings.callback_key.encode()
        self._limits, self._unknown_hold_s = settings.limits, settings.unknown_hold_s
        self._relay, self._lanes, self._connections = relay, lanes, connections
        self._posts: set[asyncio.Task[None]] = set()
        self._taking: asyncio.Task[None] | None = None
        self.flying: set[Key] = set()  # from before the intent's commit until its outcome's
        self._broken: BaseException | None = None

    async def run(self) -> None:
        """Runs until cancelled; raises what breaks a POST or its record."""
        try:
            while True:
                if self._broken is not None:
                    raise self._broken
                owner, began = await self._owner.held(), time.monotonic()
                if not await self._refreshed():
                    continue
                self._connections.take_note()
                picked = self._lanes.pick(min(self._connections.free, MOST_INTENTS), began)
                if not picked:
                    await self._rest()
                    continue
                self._connections.take(picked.total())
                self._taking = asyncio.create_task(self._take(picked, owner, began))
                await asyncio.shield(self._taking)
                await asyncio.sleep(max(0.0, began + LINGER_S - time.monotonic()))
        finally:
            await self._finish()

    async def _refreshed(self) -> bool:
        try:
            await self._lanes.refresh()
        except Exception as error:
            if not retriable(error):
                raise
            log.warning("lanes_not_listed", error=repr(error))
            await asyncio.sleep(POSTGRES_AWAY_S)
            return False
        return True

    async def _rest(self) -> None:
        """Until something was queued, a connection came free, or a pause is over."""
        until = self._lanes.rests_until(time.monotonic())
        waits = [asyncio.ensure_future(wait) for wait in (self._connections.freed(), self._lanes.fresh.wait())]
        if not self._lanes.queued.is_set():  # else the lanes may not be listed again just yet
            waits.append(asyncio.ensure_future(self._lanes.queued.wait()))
        try:
            rest_s = max(SHORTEST_REST_S, until - time.monotonic())
            await asyncio.wait(waits, timeout=rest_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _take(self, picked: Count[Lane], owner: int, began: float) -> None:
        """Commits the intents and lets their POSTs go."""
        terms, outbox = Terms(owner, datetime.now(UTC), self._limits, self._unknown_hold_s), Outbox()
        keys: list[Key] = []
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                taken = await take_intents(connection, self._vault, picked, terms, outbox)
                keys = [intent.key for intent in taken.intents]
                self.flying.update(keys)
                wrote = bool(outbox)
                await outbox.write(connection)
        except BaseException as error:
            # Whether it committed may be unclear. None of these is POSTed; `Left` closes those that are there.
            self.flying.difference_update(keys)
            self._lanes.spared(picked, began)
            self._connections.give(picked.total())
            if not retriable(error):
                raise
            log.warning("intents_not_taken", error=repr(error))
            await asyncio.sleep(POSTGRES_AWAY_S)
            return
        self._lanes.took(picked, taken, began)
        self._connections.give(picked.total() - len(taken.intents))
        if wrote:
            self._relay.set()
            self._count(began, taken.suppressed)
        for intent in taken.intents:
            self._let_go(_Flight(intent, began))

    def _count(self, taken_at: float, suppressed: int) -> None:
        INTENT.observe(time.monotonic() - taken_at)
        SUPPRESSED.inc(suppressed)
        IN_FLIGHT.set(len(self.flying))

    def _let_go(self, flight: _Flight) -> None:
        post = asyncio.create_task(self._post(flight))
        self._posts.add(post)
        post.add_done_callback(partial(self._landed, flight))

    def _landed(self, flight: _Flight, post: "asyncio.Task[None]") -> None:
        self._posts.discard(post)
        if not post.cancelled() and post.exception() is not None:
            self._broken = post.exception()
        self._lanes.landed(flight.intent.lane, flight.taken_at)
        self._connections.give()

    async def _post(self, flight: _Flight) -> None:
        """One POST, or none when the licence is too old; returns once the outcome is committed."""
        intent, began = flight.intent, time.monotonic()
        if began - flight.taken_at > INTENT_LIFE_S:
            seen: outcome.Seen = NoAnswer.EXPIRED
        else:
            seen = await self._gateway.post(self._text(intent))
            CARRIER.observe(time.monotonic() - began)
        result = outcome.classify(seen)
        OUTCOMES.labels(type(result).__name__).inc()
        self._lanes.learn(intent.lane, result, flight.taken_at)
        at = datetime.now(UTC)
        await self._outcomes.record(Proof(*intent.key, result, at, self._not_before(result, intent.attempt, at)))
        self.flying.discard(intent.key)
        IN_FLIGHT.set(len(self.flying))

    def _text(self, intent: Intent) -> Text:
        back = callback.url(self._public_url, self._callback_key, intent.recipient_id, intent.attempt)
        return Text(intent.number, intent.sender, intent.text, back)

    def _not_before(self, result: Outcome, attempt: int, at: datetime) -> datetime | None:
        if not isinstance(result, NotAccepted) or result.reason == NotAcceptedReason.INTENT_EXPIRED:
            return None
        return at + timedelta(seconds=retry.pause_s(attempt, result.retry_after_s, random.random()))

    async def _finish(self) -> None:
        """What was taken is POSTed and recorded; bounded by the carrier's timeout."""
        if self._taking is not None:
            await asyncio.gather(self._taking, return_exceptions=True)
        while self._posts:
            await asyncio.wait(self._posts)
