"""Progress as it changes, to any number of listeners for one question to Postgres every 250 ms."""

import asyncio
from collections.abc import AsyncIterator

import structlog
from kernel.database import Pool
from kernel.errors import retriable

from projections import store_reads
from projections.store_reads import Key, Progress

log = structlog.get_logger()

TICK_S = 0.25
HEARTBEAT_S = 15.0


class _Feed:
    """One campaign's latest figures, and the event that says there are newer ones."""

    def __init__(self) -> None:
        self.latest: Progress | None = None
        self.listeners = 0
        self.changed = asyncio.Event()

    def put(self, progress: Progress) -> None:
        if self.latest is None or progress.version != self.latest.version:
            self.latest = progress
            self.wake()

    def wake(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()


class Feeds:
    """The campaigns somebody listens to. `run` asks for all of them at once; without listeners it asks nothing.

    The question acts for the accounts of all listeners, so each feed is of a campaign *and* an account: what is found
    goes to those alone whose it is.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._feeds: dict[Key, _Feed] = {}
        self._wanted = asyncio.Event()
        self._closed = False

    async def run(self) -> None:
        """Until cancelled; then every listener's stream ends."""
        try:
            while True:
                await self._wanted.wait()
                await self._tick()
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
                    self._feeds[key].put(progress)
        except Exception as error:
            if not retriable(error):
                raise
            log.warning("feed_retried", error=repr(error))

    def _stale(self, key: Key, version: int) -> bool:
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
                if feed.latest is not None and str(feed.latest.version) != told:
                    told = str(feed.latest.version)
                    yield _message(feed.latest)
                elif not await _within(changed, HEARTBEAT_S):
                    yield b": still here\n\n"
        finally:
            feed.listeners -= 1
            if not feed.listeners and self._feeds.get(key) is feed:
                del self._feeds[key]
                if not self._feeds:
                    self._wanted.clear()


def _message(progress: Progress) -> bytes:
    return b"event: progress\nid: %d\ndata: %b\n\n" % (progress.version, progress.body)


async def _within(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False
