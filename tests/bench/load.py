"""Hands that press SEND: a bare HTTP/1.1 client, so that the load costs the machine as little as it can."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast


@dataclass
class Pressed:
    """When each press was made (seconds since 1970), how long its answer took, and how many were answered 200."""

    at: dict[str, float] = field(default_factory=dict)
    took_s: dict[str, float] = field(default_factory=dict)
    answered: int = 0
    refused: list[bytes] = field(default_factory=list)


class _Hand(asyncio.Protocol):
    """One connection; one request under way at a time."""

    def __init__(self) -> None:
        self._buffer = b""
        self._answer: asyncio.Future[bytes] | None = None
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError())

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(body) >= length and self._answer is not None:
            self._buffer = b""
            self._answer.set_result(head + b"\r\n\r\n" + body)

    async def ask(self, request: bytes) -> bytes:
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self._answer


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Callable[[bytes], Awaitable[bytes]]]:
    """A connection of its own, on which requests are asked one after the other."""
    _, hand = await asyncio.get_running_loop().create_connection(_Hand, "127.0.0.1", port)
    try:
        yield hand.ask
    finally:
        hand.transport.close()


@dataclass(frozen=True)
class Press:
    """One press to make: the recipient's number is what finds it again in the carrier's ledger."""

    campaign_id: str
    recipient_id: str
    number: str
    token: str

    def request(self) -> bytes:
        path = f"/api/v1/campaigns/{self.campaign_id}/recipients/{self.recipient_id}/send"
        head = f"POST {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {self.token}\r\nContent-Length: 0\r\n\r\n"
        return head.encode()


async def press_all(port: int, presses: Iterable[Press], hands: int, per_s: float | None = None) -> Pressed:
    """Makes the presses with so many hands, as fast as they are answered or at a steady rate."""
    queue, done, began = iter(presses), Pressed(), time.monotonic()
    pace = _evenly(per_s)

    async def one_hand() -> None:
        _, hand = await asyncio.get_running_loop().create_connection(_Hand, "127.0.0.1", port)
        for press in queue:
            if (wait := began + next(pace) - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            done.at[press.number] = time.time()
            answer = await hand.ask(press.request())
            done.took_s[press.number] = time.time() - done.at[press.number]
            if answer.startswith(b"HTTP/1.1 200"):
                done.answered += 1
            else:
                done.refused.append(answer)
        hand.transport.close()

    await asyncio.gather(*(one_hand() for _ in range(hands)))
    return done


def _evenly(per_s: float | None) -> Iterator[float]:
    made = 0
    while True:
        yield 0.0 if per_s is None else made / per_s
        made += 1
