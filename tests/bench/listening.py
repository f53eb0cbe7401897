"""A thousand people watch one campaign: how soon the last of them hears of a SEND, and what it costs."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp

from tests.bench.load import Press, press_all
from tests.bench.message_life import CAMPAIGNS, Bench, quantile
from tests.bench.stack import Running

SINGLE, PAUSE_S = 20, 0.5
IDLE_S = 5.0
BUSY, BUSY_PER_S = 400, 50.0
PATIENCE_S = 60.0
PROCESSED = re.compile(rb'"processed":(\d+)')
WAYS = {"projections": "PROJECTIONS_PORT", "send-intake": "INTAKE_PORT"}


class _Listener(asyncio.Protocol):
    """Reads a stream with as little work as can be: when it first heard of so many processed."""

    def __init__(self, request: bytes) -> None:
        self._request, self._rest = request, b""
        self.heard: dict[int, float] = {}
        self.messages = 0
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        now, data = time.monotonic(), self._rest + data
        end = data.rfind(b"\n\n")
        self._rest = data[end:] if end >= 0 else data
        for found in PROCESSED.findall(data[: max(0, end)]):
            self.messages += 1
            self.heard.setdefault(int(found), now)

    def at(self, processed: int) -> float | None:
        """When it knew that at least so many were processed."""
        return min((at for n, at in self.heard.items() if n >= processed), default=None)


@dataclass(frozen=True)
class Result:
    """Of one way to the listeners. Times in ms from the press, sorted; CPU in % of a core, of all of ours."""

    way: str
    listeners: int
    first_ms: list[float]
    last_ms: list[float]
    idle: float
    busy: float
    busy_messages_per_s: float


async def measure(stack: Running, listeners: int) -> list[Result]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=600)) as session:
        bench = Bench(stack, session)
        return [await _measure(stack, bench, way, listeners) for way in WAYS]


async def _measure(stack: Running, bench: Bench, way: str, count: int) -> Result:
    [campaign_id, *_], presses = await bench.presses(CAMPAIGNS * (SINGLE + BUSY))
    ours = [press for press in presses if press.campaign_id == campaign_id]
    async with _listening(stack.port(WAYS[way]), campaign_id, bench.manager, count) as listeners:
        idle = await _cpu(stack, way, asyncio.sleep(IDLE_S))
        first_ms, last_ms = await _single(stack, ours[:SINGLE], listeners)
        before, began = sum(one.messages for one in listeners), time.monotonic()
        busy = await _cpu(stack, way, press_all(stack.port("INTAKE_PORT"), ours[SINGLE:], 8, BUSY_PER_S))
        per_s = (sum(one.messages for one in listeners) - before) / (time.monotonic() - began)
        await _all_heard(listeners, SINGLE + BUSY)
    return Result(way, count, sorted(first_ms), sorted(last_ms), idle, busy, per_s)


async def _single(stack: Running, presses: list[Press], listeners: list[_Listener]) -> tuple[list[float], list[float]]:
    first, last = [], []
    for n, press in enumerate(presses, 1):
        pressed_at = time.monotonic()
        await press_all(stack.port("INTAKE_PORT"), [press], 1)
        await _all_heard(listeners, n)
        heard = [at for one in listeners if (at := one.at(n)) is not None]
        first.append((min(heard) - pressed_at) * 1000)
        last.append((max(heard) - pressed_at) * 1000)
        await asyncio.sleep(PAUSE_S)
    return first, last


async def _all_heard(listeners: list[_Listener], processed: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while any(one.at(processed) is None for one in listeners):
            await asyncio.sleep(0.02)


async def _cpu(stack: Running, way: str, work: Awaitable[object]) -> float:
    """% of a core that the services on the way use meanwhile."""
    on_the_way = {"projections", way}
    before, began = stack.cpu_s(), time.monotonic()
    await work
    after = stack.cpu_s()
    return sum(after[name] - before[name] for name in on_the_way) / (time.monotonic() - began) * 100


@asynccontextmanager
async def _listening(port: int, campaign_id: str, token: str, count: int) -> AsyncIterator[list[_Listener]]:
    """So many listeners, all of whom have heard the figures once."""
    path = f"/api/v1/campaigns/{campaign_id}/progress/stream"
    request = f"GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    loop, found = asyncio.get_running_loop(), []
    for at in range(0, count, 100):
        more = range(min(100, count - at))
        made = [loop.create_connection(lambda: _Listener(request), "127.0.0.1", port) for _ in more]
        found += [listener for _, listener in await asyncio.gather(*made)]
        await _all_heard(found, 0)
    try:
        yield found
    finally:
        for listener in found:
            listener.transport.abort()


def lines(results: list[Result]) -> str:
    """What it came to."""
    return "\n".join(
        f"{one.listeners:,} listeners of one campaign by way of {one.way}: from SEND to the first "
        f"p50 {quantile(one.first_ms, 0.5):.0f} ms, to the last p50 {quantile(one.last_ms, 0.5):.0f} ms, "
        f"p95 {quantile(one.last_ms, 0.95):.0f} ms; CPU {one.idle:.1f} % of a core idle, {one.busy:.0f} % while "
        f"{BUSY_PER_S:.0f} SENDs/s make {one.busy_messages_per_s:,.0f} messages/s"
        for one in results
    )
