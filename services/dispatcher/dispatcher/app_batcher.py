"""Micro-batches: many callers, one transaction, at once when idle and a few milliseconds together when busy."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

import structlog
from kernel.errors import retriable

log = structlog.get_logger()

Item = TypeVar("Item")

MOST = 500
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 1.0


class Batcher(Generic[Item]):
    """`put` returns once the item's batch is committed. `flush` must be re-runnable: it is retried.

    An item that cannot be flushed fails alone: its batch is then flushed one by one.
    """

    def __init__(
        self, name: str, flush: Callable[[Sequence[Item]], Awaitable[None]], linger_s: float, patience_s: float
    ) -> None:
        """Batches begin at least `linger_s` apart; a retry that lasts longer than `patience_s` fails its callers."""
        self._name, self._flush, self._linger_s, self._patience_s = name, flush, linger_s, patience_s
        self._waiting: deque[tuple[Item, asyncio.Future[None]]] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._began = 0.0

    async def put(self, item: Item) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, done))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        await done

    async def _work(self) -> None:
        clock = asyncio.get_running_loop().time
        while self._waiting:
            rest = self._began + self._linger_s - clock()
            if rest > 0 and len(self._waiting) < MOST:
                await asyncio.sleep(rest)
            self._began = clock()
            batch = [self._waiting.popleft() for _ in range(min(MOST, len(self._waiting)))]
            await self._settle(batch)

    async def _settle(self, batch: Sequence[tuple[Item, "asyncio.Future[None]"]]) -> None:
        try:
            await self._retried([item for item, _ in batch])
        except Exception as error:
            if len(batch) > 1 and not retriable(error):
                for one in batch:
                    await self._settle([one])
                return
            _conclude(batch, error)
        else:
            _conclude(batch, None)

    async def _retried(self, items: Sequence[Item]) -> None:
        clock = asyncio.get_running_loop().time
        deadline, pause_s = clock() + self._patience_s, FIRST_PAUSE_S
        while True:
            try:
                return await self._flush(items)
            except Exception as error:
                if not retriable(error) or clock() + pause_s > deadline:
                    raise
                log.warning("batch_retried", batch=self._name, error=repr(error))
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def _conclude(batch: Sequence[tuple[Item, "asyncio.Future[None]"]], error: Exception | None) -> None:
    for _, done in batch:
        if done.done():
            continue  # its caller has gone away
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)
