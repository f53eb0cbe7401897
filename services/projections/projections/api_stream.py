"""Progress as it changes, to any number of listeners for one question to Postgres every 250 ms."""

import asyncio
from collections.abc import AsyncIterator

import structlog
from kernel.database import Pool
from kernel.errors import retriable

from projections import store_reads
from projections.app_clock import Clock
from projections.store_reads import Key, Progress, Version
from projections.wait import WaitsFor

log = structlog.get_logger()

TICK_S = 0.25
HEARTBEAT_S = 15.0


class _Feed:
    """What is to be told of one campaign: its latest figures and why people wait; and the event that it has changed."""

    def __init__(self) -> None:
        self.latest: Progress | None = None
        self.id, self.message = "", b""
        self.listeners = 0
        self.changed = asyncio.Event()

    def put(self, progress: Progress, waits_for: WaitsFor | None) -> None:
        self.latest = progress
        if (id_ := _id(progress, waits_for)) != self.id:
            self.id, self.message = id_, _message(id_, progress.body(waits_for))
            self.wake()

    def look(self, clock: Clock) -> None:
        """Time goes on without an event of the campaign."""
        if self.latest is not None and self.latest.waiting.people and self.latest.waiting.until is not None:
            self.put(self.latest, clock.waits_for(self.latest.waiting))

    def wake(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()


class Feeds:
    """The campaigns somebody listens to. `run` asks for all of them at once; without listeners it asks nothing.

    The question acts for the accounts of all listeners, so each feed is of a campaign *and* an account: what is found
    goes to those alone whose it is.
    """

    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool, self._clock = pool, clock
        self._feeds: dict[Key, _Feed] = {}
        self._wanted = asyncio.Event()
        self._closed = False

    async def run(self) -> None:
        """Until cancelled; then every listener's stream ends."""
        try:
            while True:
                await self._wanted.wait()
                await self._tick()
                for feed in self._feeds.values():
                    feed.look(self._clock)
                await asyncio.sleep(TICK_S)
        finally:
            self._closed = True
            for feed in self._feeds.values():
                feed.wake()

    async def _tick(self) -> None:
        try:
            versions = await store_reads.versions(self._pool, self._feeds)
            newer = [key for key, version in versions.items() if self._stale(key, version)]
            for key, progress in (await store_reads.progress(self._pool, newer) if newer else {}).items():
                if key in self._feeds:
                    self._feeds[key].put(progress, self._clock.waits_for(progress.waiting))
        except Exception as error:
            if not retriable(error):
                raise
            log.warning("feed_retried", error=repr(error))

    def _stale(self, key: Key, version: Version) -> bool:
        feed = self._feeds.get(key)
        return feed is not None and (feed.latest is None or feed.latest.version != version)

    async def listen(self, key: Key, last_event_id: str | None) -> AsyncIterator[bytes]:
        """Server-sent events: the figures at once, unless the listener has them; then whenever they change."""
        feed = self._feeds.setdefault(key, _Feed())
        feed.listeners += 1
        self._wanted.set()
        try:
            told = last_event_id
            while not self._closed:
                changed = feed.changed
                if feed.latest is not None and feed.id != told:
                    told = feed.id
                    yield feed.message
                elif not await _within(changed, HEARTBEAT_S):
                    yield b": still here\n\n"
        finally:
            feed.listeners -= 1
            if not feed.listeners and self._feeds.get(key) is feed:
                del self._feeds[key]
                if not self._feeds:
                    self._wanted.clear()


def _id(progress: Progress, waits_for: WaitsFor | None) -> str:
    """Says which figures, and why people wait: what a listener was told of both, it is not told again."""
    version = progress.version
    return f"{version.events}.{version.table}" + (f".{waits_for}" if waits_for else "")


def _message(id_: str, body: bytes) -> bytes:
    return b"event: progress\nid: %b\ndata: %b\n\n" % (id_.encode(), body)


async def _within(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False
