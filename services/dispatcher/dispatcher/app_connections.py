"""The connections to carriers: so many at once, and an answer somebody waits for goes before what campaigns send."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Connections:
    """Campaigns take what is `free`; whoever goes `ahead` gets the next one that comes free, before any of them."""

    def __init__(self, total: int) -> None:
        self.total = total
        self._in_use = 0
        self._ahead = 0  # who waits to go ahead
        self._freed = asyncio.Event()

    @property
    def free(self) -> int:
        """How many a campaign's messages may take now."""
        return max(0, self.total - self._in_use - self._ahead)

    def take(self, count: int) -> None:
        """So many of the free ones are in use."""
        self._in_use += count

    def give(self, count: int = 1) -> None:
        """So many are free again."""
        self._in_use -= count
        self._freed.set()

    async def freed(self) -> None:
        """Returns when one has come free since `take_note`."""
        await self._freed.wait()

    def take_note(self) -> None:
        """What `freed` waits for comes after this."""
        self._freed.clear()

    @asynccontextmanager
    async def ahead(self) -> AsyncIterator[None]:
        """A connection for a reply or a confirmation: the first that is free, however much waits in campaigns."""
        self._ahead += 1
        try:
            while self._in_use >= self.total:
                self.take_note()
                await self._freed.wait()
        finally:
            self._ahead -= 1
        self.take(1)
        try:
            yield
        finally:
            self.give()
