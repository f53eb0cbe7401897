"""The way out: as many intents as carrier connections are free, one POST each, its outcome into Postgres."""

import asyncio
import random
import time
from collections import Counter as Count
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

import structlog
from kernel.database import Connection, Pool
from kernel.errors import retriable
from kernel.outbox import Outbox
from kernel.steps import reached
from kernel.vault import Vault
from prometheus_client import Counter, Gauge, Histogram

from dispatcher import callback, outcome, retry, usefulness
from dispatcher.app_connections import Connections
from dispatcher.app_lanes import Lanes
from dispatcher.app_marks import Marks
from dispatcher.app_outcomes import Outcomes
from dispatcher.app_owner import Owner
from dispatcher.gateway import Gateways
from dispatcher.outcome import Again, NoAnswer, NotAccepted, Outcome
from dispatcher.outcome import Key as Column
from dispatcher.provider import Text, idempotency_key
from dispatcher.settings import Settings
from dispatcher.store_attempts import Key, Proof
from dispatcher.store_intents import Intent, Opened, Terms, take_intents
from dispatcher.store_repeats import PutBack, Room, take_repeats
from dispatcher.turns import Lane
from schemas.reasons import NotAcceptedReason

log = structlog.get_logger()

MOST_INTENTS = 200
LINGER_S = 0.015  # busy: intents share a commit; idle: the first one does not wait
INTENT_LIFE_S = 5.0
POSTGRES_AWAY_S = 0.5
SHORTEST_REST_S = 0.001
REPEAT_S = 0.5

OUTCOMES = Counter("handsent_dispatch_outcomes_total", "Attempts by what became of the POST", ["outcome"])
SUPPRESSED = Counter("handsent_dispatch_suppressed_total", "Messages not sent: opted out, erased, or too late")
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
        self, pool: Pool, vault: Vault, owner: Owner, marks: Marks, gateways: Gateways, outcomes: Outcomes,
        settings: Settings, relay: asyncio.Event, lanes: Lanes, connections: Connections,
    ) -> None:  # fmt: skip
        self._pool, self._vault, self._owner, self._marks = pool, vault, owner, marks
        self._gateways, self._outcomes = gateways, outcomes
        self._providers, self._key_life_s = settings.providers, settings.key_life_s
        self._repeat_after_s = settings.repeat_after_s
        self._public_url, self._callback_key = settings.public_url, settings.callback_key.encode()
        self._limits, self._unknown_hold_s = settings.limits, settings.unknown_hold_s
        self._useful_for = settings.useful_for
        self._relay, self._lanes, self._connections = relay, lanes, connections
        self._posts: set[asyncio.Task[None]] = set()
        self._taking: asyncio.Task[None] | None = None
        self._repeated_at = 0.0  # when repeats were last looked for
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
                self._taking = asyncio.create_task(self._repeat(owner, began))
                await asyncio.shield(self._taking)
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
        now, outbox = datetime.now(UTC), Outbox()
        terms = Terms(owner, now, self._limits, self._unknown_hold_s, self._useful_for)
        keys: list[Key] = []
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                taken = await take_intents(connection, self._vault, picked, terms, outbox, self._compose)
                keys = [intent.key for intent in taken.intents]
                self.flying.update(keys)
                wrote = await self._written(connection, outbox)
            if wrote:
                reached("intent.committed")
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

    async def _written(self, connection: Connection, outbox: Outbox) -> bool:
        wrote = bool(outbox)
        await outbox.write(connection)
        if wrote:
            reached("intent.written")
        return wrote

    async def _repeat(self, owner: int, began: float) -> None:
        """POSTs again what is in doubt and has a key: before what is new, for somebody waits longer for it.

        Twice a second, on half of the free connections: a carrier that answers nobody must not keep others waiting.
        What the carrier may have is left until we could have stored its receipt for as long as one takes.
        """
        limit, listened = (self._connections.free + 1) // 2, began - self._owner.held_since >= self._repeat_after_s
        if began - self._repeated_at < REPEAT_S or not limit:
            return
        self._repeated_at = began
        self._connections.take(limit)
        room, outbox, repeats = Room(lambda lane: self._lanes.admits(lane, began)), Outbox(), list[Intent]()
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                repeats = await take_repeats(
                    connection, self._vault, limit, owner, datetime.now(UTC), outbox, self._key_life_s,
                    self._providers, room, self._useful_for, doubtful=listened,
                )  # fmt: skip
                self.flying.update(intent.key for intent in repeats)
                wrote = await self._written(connection, outbox)
            if wrote:
                self._relay.set()
        except BaseException as error:
            self.flying.difference_update(intent.key for intent in repeats)
            for lane in room.admitted:
                self._lanes.repeated(lane, began)
            self._connections.give(limit)
            if not retriable(error):
                raise
            log.warning("repeats_not_taken", error=repr(error))
            return
        self._connections.give(limit - len(repeats))
        for intent in repeats:
            self._let_go(_Flight(intent, began))

    def _compose(self, opened: Opened) -> tuple[str, bytes]:
        """The provider, and the exact bytes that ask it for the text: made once, whatever happens to the POST."""
        provider = self._gateways.routing.provider_of(opened.sender)
        back = callback.url(self._public_url, self._callback_key, opened.recipient_id, opened.attempt, provider)
        text = Text(opened.number, opened.sender, opened.text, back)
        return provider, self._gateways.of_sender(opened.sender).request(text)

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
        if flight.intent.repeats:
            self._lanes.repeated(flight.intent.lane, flight.taken_at)
        else:
            self._lanes.landed(flight.intent.lane, flight.taken_at)
        self._connections.give()

    async def _post(self, flight: _Flight) -> None:
        """One POST, or none when the licence is too old; returns once the outcome is committed.

        Nor is there one past the message's latest useful time: it waits again, and its next turn says that it is over.
        """
        intent, began = flight.intent, time.monotonic()
        gateway = self._gateways.named(intent.provider)
        # Of a repeat the carrier may have the first POST already: nothing that is known here makes it not accepted.
        over = intent.repeats == 0 and usefulness.is_over(intent.useful_until, datetime.now(UTC))
        if began - flight.taken_at > INTENT_LIFE_S or gateway is None or over:
            await self._conclude(intent, NoAnswer.EXPIRED, flight.taken_at)
            return
        reached("post.ready")
        with self._marks.open(intent.key) as leaving:
            seen = await gateway.post(intent.request, idempotency_key(*intent.key), leaving)
            reached("post.answered")
            CARRIER.observe(time.monotonic() - began)
            await self._conclude(intent, seen, flight.taken_at)

    async def _conclude(self, intent: Intent, seen: outcome.Seen, taken_at: float) -> None:
        result = outcome.classify(seen, _column(intent))
        OUTCOMES.labels(type(result).__name__).inc()
        at = datetime.now(UTC)
        if isinstance(result, Again):
            self._lanes.learn(intent.lane, result.refusal or result.doubt, taken_at)
            await self._outcomes.put_back(self._once_more(intent, result, at))
        else:
            self._lanes.learn(intent.lane, result, taken_at)
            await self._outcomes.record(Proof(*intent.key, result, at, self._not_before(result, intent.attempt, at)))
        self.flying.discard(intent.key)
        IN_FLIGHT.set(len(self.flying))

    def _once_more(self, intent: Intent, again: Again, at: datetime) -> PutBack:
        asked = again.refusal.retry_after_s if again.refusal else None
        pause_s = retry.repeat_pause_s(intent.repeats, asked, self._repeat_after_s, random.random())
        return PutBack(*intent.key, list(self._owner.numbers), at + timedelta(seconds=pause_s), again.doubt)

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


def _column(intent: Intent) -> Column:
    if not Gateways.keyed(intent.provider):
        return Column.NONE
    return Column.REPEATED if intent.repeats else Column.FIRST
