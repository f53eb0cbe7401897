"""Whether a service can work, how far behind it is, and what stands still."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

from kernel import kafka, offsets, quarantine
from kernel.database import Pool
from kernel.errors import LogLost
from kernel.offsets import Position
from schemas.topics import FOR_EVER, TOPICS

CACHE_S = 1.0
PATIENCE_S = 3.0


@dataclass(frozen=True)
class Inputs:
    """The topics a service reads, with their partitions."""

    positions: tuple[Position, ...]


async def bind_inputs(pool: Pool, bootstrap: str, topics: Iterable[str]) -> Inputs:
    """Waits for the topics, ties the stored offsets to them, and checks that nothing unread has been deleted.

    Raises LogLost when the log is not the one the offsets belong to.
    """
    ids, partitions = await kafka.when_there(bootstrap, topics)
    await offsets.bind(pool, ids, partitions)
    positions = tuple((topic, p) for topic in sorted(partitions) for p in range(partitions[topic]))
    watcher = kafka.Watcher(bootstrap)
    try:
        await _check_unread(pool, watcher, positions)
    finally:
        await watcher.stop()
    return Inputs(positions)


async def _check_unread(pool: Pool, watcher: kafka.Watcher, positions: tuple[Position, ...]) -> None:
    beginnings, ends = await watcher.beginnings(positions), await watcher.ends(positions)
    for position, next_offset in (await offsets.read(pool, positions)).items():
        if next_offset > ends[position]:
            raise LogLost(f"{position[0]}-{position[1]} ends at {ends[position]}, but {next_offset} was already read")
        if next_offset < beginnings[position]:
            if TOPICS[position[0]].retention_ms == FOR_EVER:
                raise LogLost(f"{position[0]}-{position[1]} begins at {beginnings[position]}, {next_offset} is unread")
            await offsets.jump(pool, position, beginnings[position])


class Health:
    """The probes of a service with inputs."""

    def __init__(
        self,
        pool: Pool,
        inputs: Inputs,
        bootstrap: str,
        also: Callable[[], Awaitable[dict[str, Any]]] | None = None,
    ) -> None:
        """`also` adds the service's own figures to its status, and to `stuck` what stands still beyond partitions."""
        self._pool, self._inputs, self._also = pool, inputs, also
        self._watcher = kafka.Watcher(bootstrap)
        self._ends: tuple[float, dict[Position, int]] = (-CACHE_S, {})

    async def close(self) -> None:
        await self._watcher.stop()

    async def ready(self) -> dict[str, Any]:
        """Raises when Postgres does not answer."""
        async with asyncio.timeout(PATIENCE_S):
            await self._pool.fetchval("SELECT 1")
        return {}

    async def status(self) -> dict[str, Any]:
        """{"lag": events not yet read, "stuck": partitions that stand still, …}; lag is null while Kafka is away."""
        stuck = [dict(row, reason=row.pop("error")) for row in await quarantine.listed(self._pool)]
        also = await self._also() if self._also else {}
        return {"lag": await self._lag(), **also, "stuck": stuck + also.get("stuck", [])}

    async def _lag(self) -> int | None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                ends = await self._cached_ends()
        except Exception:  # a status must be told while Kafka is away, whatever its client raises then
            return None
        stored = await offsets.read(self._pool, self._inputs.positions)
        return sum(max(0, ends[position] - stored[position]) for position in self._inputs.positions)

    async def _cached_ends(self) -> dict[Position, int]:
        read_at, ends = self._ends
        if time.monotonic() - read_at >= CACHE_S:
            ends = await self._watcher.ends(self._inputs.positions) if self._inputs.positions else {}
            self._ends = (time.monotonic(), ends)
        return ends
