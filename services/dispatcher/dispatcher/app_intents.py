"""The way out: as many intents as carrier connections are free, one POST each, its outcome into Postgres."""

import asyncio
import random
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from kernel.database import Connection, Pool
from kernel.errors import retriable
from kernel.outbox import Outbox
from kernel.steps import reached
from kernel.vault import Vault
from prometheus_client import Counter, Gauge, Histogram

from dispatcher import callback, outcome, retry, usefulness
from dispatcher.app_marks import Marks
from dispatcher.app_outcomes import Outcomes
from dispatcher.app_owner import Owner
from dispatcher.gateway import Gateways
from dispatcher.outcome import Again, NoAnswer, NotAccepted, Outcome
from dispatcher.outcome import Key as Column
from dispatcher.provider import Text, idempotency_key
from dispatcher.retry import Pace
from dispatcher.settings import Settings
from dispatcher.store import q
from dispatcher.store_attempts import Key, Proof
from dispatcher.store_intents import Intent, Opened, Taken, take_intents
from dispatcher.store_repeats import PutBack, take_repeats
from schemas.reasons import NotAcceptedReason

log = structlog.get_logger()

MOST_INTENTS = 200
POLL_S = 0.5  # for what other processes queued, and for ended back-offs
LINGER_S = 0.015  # busy: intents share a commit; idle: the first one does not wait
INTENT_LIFE_S = 5.0
POSTGRES_AWAY_S = 0.5

OUTCOMES = Counter("handsent_dispatch_outcomes_total", "Attempts by what became of the POST", ["outcome"])
SUPPRESSED = Counter("handsent_dispatch_suppressed_total", "Messages not sent: opted out, erased, or too late")
IN_FLIGHT = Gauge("handsent_dispatch_in_flight", "Attempts of this process without a recorded outcome")
INTENT = Histogram("handsent_dispatch_intent_seconds", "From taking intents to their commit", buckets=[
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5])  # fmt: skip
CARRIER = Histogram("handsent_dispatch_carrier_seconds", "From the POST to what was seen of it")


@dataclass(frozen=True, slots=True)
class _Flight:
    """`taken_at` is monotonic, from before the intent's commit."""

    intent: Intent
    taken_at: float


class Intents:
    """Takes intents for as long as it runs; when cancelled it takes no more and finishes what it has."""

    def __init__(
        self, pool: Pool, vault: Vault, owner: Owner, marks: Marks, gateways: Gateways, outcomes: Outcomes,
        settings: Settings, relay: asyncio.Event,
    ) -> None:  # fmt: skip
        self._pool, self._vault, self._owner, self._marks = pool, vault, owner, marks
        self._gateways, self._outcomes = gateways, outcomes
        self._providers, self._key_life_s = settings.providers, settings.key_life_s
        self._public_url, self._callback_key = settings.public_url, settings.callback_key.encode()
        self._useful_for = settings.useful_for
        self._relay = relay
        self._pace = Pace.full(settings.carrier_connections)
        self._posts: set[asyncio.Task[None]] = set()
        self._taking: asyncio.Task[int] | None = None
        self._freed = asyncio.Event()
        self._ended_at = 0.0  # when back-offs were last looked at
        self._repeated_at = 0.0  # when repeats were
        self.queued = asyncio.Event()
        self.flying: set[Key] = set()  # from before the intent's commit until its outcome's
        self._broken: BaseException | None = None

    async def run(self) -> None:
        """Runs until cancelled; raises what breaks a POST or its record."""
        try:
            while True:
                free = await self._free()
                began = time.monotonic()
                self.queued.clear()
                self._taking = asyncio.create_task(self._take(min(free, MOST_INTENTS)))
                taken = await asyncio.shield(self._taking)
                if taken < min(free, MOST_INTENTS):
                    await self._rest()
                await self._end_back_off()
                await asyncio.sleep(max(0.0, began + LINGER_S - time.monotonic()))
        finally:
            await self._finish()

    async def _free(self) -> int:
        """How many intents may be taken now, at least 1: waits for a connection, and while the carrier wants a rest."""
        while True:
            if self._broken is not None:
                raise self._broken
            rest = self._pace.resume_at - time.monotonic()
            if rest > 0:
                await asyncio.sleep(rest)
            free = self._pace.limit - len(self.flying)
            if free > 0:
                return free
            self._freed.clear()
            await self._freed.wait()

    async def _rest(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(POLL_S):
                await self.queued.wait()

    async def _end_back_off(self) -> None:
        if time.monotonic() - self._ended_at < POLL_S:
            return
        self._ended_at = time.monotonic()
        try:
            await self._pool.execute(q.end_back_off, datetime.now(UTC))
        except Exception as error:
            if not retriable(error):
                raise

    async def _take(self, limit: int) -> int:
        """Commits up to `limit` intents and lets their POSTs go; how many messages left the queue."""
        owner = await self._owner.held()
        taken_at, outbox = time.monotonic(), Outbox()
        taken, repeats = Taken(0, 0, []), list[Intent]()
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                repeats = await self._take_repeats(connection, limit, owner, outbox)
                self.flying.update(intent.key for intent in repeats)
                taken = await take_intents(
                    connection,
                    self._vault,
                    limit - len(repeats),
                    owner,
                    datetime.now(UTC),
                    outbox,
                    self._compose,
                    self._useful_for,
                )
                self.flying.update(intent.key for intent in taken.intents)
                wrote = bool(outbox)
                await outbox.write(connection)
                if wrote:
                    reached("intent.written")
            if wrote:
                reached("intent.committed")
        except Exception as error:
            # Whether it committed may be unclear. None of these is POSTed; `Left` closes those that are there.
            self.flying.difference_update(intent.key for intent in (*repeats, *taken.intents))
            if not retriable(error):
                raise
            log.warning("intents_not_taken", error=repr(error))
            await asyncio.sleep(POSTGRES_AWAY_S)
            return 0
        if wrote:
            self._relay.set()
            self._count(taken_at, taken.suppressed)
        for intent in (*repeats, *taken.intents):
            self._let_go(_Flight(intent, taken_at))
        return taken.messages + len(repeats)

    async def _take_repeats(self, connection: Connection, limit: int, owner: int, outbox: Outbox) -> list[Intent]:
        """Before what is new, for somebody waits longer for them; twice a second, and on half of the free connections:
        a carrier that answers nobody must not keep the texts of the others waiting."""
        if time.monotonic() - self._repeated_at < POLL_S:
            return []
        self._repeated_at = time.monotonic()
        return await take_repeats(
            connection,
            self._vault,
            (limit + 1) // 2,
            owner,
            datetime.now(UTC),
            outbox,
            self._key_life_s,
            self._providers,
            self._useful_for,
        )

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
        post.add_done_callback(self._landed)

    def _landed(self, post: "asyncio.Task[None]") -> None:
        self._posts.discard(post)
        if not post.cancelled() and post.exception() is not None:
            self._broken = post.exception()
        self._freed.set()

    async def _post(self, flight: _Flight) -> None:
        """One POST, or none when the licence is too old; returns once the outcome is committed.

        Nor is there one past the message's latest useful time: it waits again, and its next turn says that it is over.
        """
        intent, began = flight.intent, time.monotonic()
        gateway = self._gateways.named(intent.provider)
        # Of a repeat the carrier may have the first POST already: nothing that is known here makes it not accepted.
        over = intent.repeats == 0 and usefulness.is_over(intent.useful_until, datetime.now(UTC))
        if began - flight.taken_at > INTENT_LIFE_S or gateway is None or over:
            await self._conclude(intent, NoAnswer.EXPIRED)
            return
        reached("post.ready")
        with self._marks.open(intent.key) as leaving:
            seen = await gateway.post(intent.request, idempotency_key(*intent.key), leaving)
            reached("post.answered")
            CARRIER.observe(time.monotonic() - began)
            await self._conclude(intent, seen)

    async def _conclude(self, intent: Intent, seen: outcome.Seen) -> None:
        result = outcome.classify(seen, _column(intent))
        OUTCOMES.labels(type(result).__name__).inc()
        at = datetime.now(UTC)
        if isinstance(result, Again):
            self._mind(result.refusal or result.doubt)
            await self._outcomes.put_back(self._once_more(intent, result, at))
        else:
            self._mind(result)
            await self._outcomes.record(Proof(*intent.key, result, at, self._not_before(result, intent.attempt, at)))
        self.flying.discard(intent.key)
        IN_FLIGHT.set(len(self.flying))

    def _once_more(self, intent: Intent, again: Again, at: datetime) -> PutBack:
        asked = again.refusal.retry_after_s if again.refusal else None
        pause = timedelta(seconds=retry.repeat_pause_s(intent.repeats, asked, random.random()))
        return PutBack(*intent.key, list(self._owner.numbers), at + pause, again.doubt)

    def _mind(self, result: Outcome) -> None:
        before, self._pace = self._pace, self._pace.after(result, time.monotonic(), random.random())
        if self._pace.streak > before.streak and isinstance(result, NotAccepted):
            pause_s = round(self._pace.resume_at - time.monotonic(), 2)
            log.warning("carrier_says_no", reason=result.reason, streak=self._pace.streak, pause_s=pause_s)

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
