"""The wires between dispatchers and carrier: they note every call that passes, and can be cut.

Each dispatcher reaches the carrier over a `Wire` of its own, so what was under way when it died is known from outside,
to the call. The carrier reaches the dispatchers through a `Door`, as through a balancer of loads.
"""

import asyncio
import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import unquote

LARGEST = 1 << 20
CONNECT_S = 2.0
NAMED = re.compile(r"recipient=([0-9a-f-]{36})&attempt=(\d+)")

Key = tuple[str, int]  # recipient_id, attempt


@dataclass
class Call:
    """A request that a dispatcher wrote to its end; times are monotonic. `status` is what was answered, if anything."""

    key: Key
    wire: str
    begun: float
    ended: float | None = None  # answered, or lost
    status: int | None = None
    cut: bool = False

    def under_way(self, at: float) -> bool:
        return self.begun <= at and (self.ended is None or self.ended >= at)


class Wire:
    """From one dispatcher to the carrier. Open it with `async with`."""

    def __init__(self, name: str, port: int, carrier_port: int) -> None:
        self.name, self.port, self._carrier_port = name, port, carrier_port
        self.calls: list[Call] = []
        self._open: dict[asyncio.Task[None], list[asyncio.StreamWriter]] = {}
        self._under_way: dict[asyncio.Task[None], Call] = {}
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> "Wire":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=LARGEST)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        await asyncio.gather(*self._open, return_exceptions=True)

    def cut(self, choose: Callable[[], bool] = lambda: True) -> int:
        """Ends connections without a word, those that are chosen; how many of them had a call under way."""
        calls = 0
        for task, writers in self._open.items():
            if choose():
                call = self._under_way.get(task)
                if call is not None:
                    call.cut, calls = True, calls + 1
                for writer in writers:
                    writer.transport.abort()
        return calls

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open[task] = [writer]
        try:
            await self._pass_on(task, reader, writer)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            for one in self._open.pop(task):
                one.transport.abort()
            self._lost(task)

    async def _pass_on(
        self, task: asyncio.Task[None], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Request by request, as HTTP/1.1 without pipelining goes."""
        up_reader, up_writer = None, None
        while True:
            request = await _message(reader)
            call = self._note(task, request)
            if up_reader is None or up_writer is None or up_reader.at_eof():
                async with asyncio.timeout(CONNECT_S):
                    up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._carrier_port, limit=LARGEST)
                self._open[task].append(up_writer)
            up_writer.write(request)
            answer = await _message(up_reader)
            if call is not None:
                call.ended, call.status = time.monotonic(), int(answer[9:12])
                self._under_way.pop(task, None)
            writer.write(answer)
            await writer.drain()

    def _note(self, task: asyncio.Task[None], request: bytes) -> Call | None:
        found = NAMED.search(unquote(request.decode("latin-1")))
        if found is None:
            return None
        call = Call((found[1], int(found[2])), self.name, time.monotonic())
        self.calls.append(call)
        self._under_way[task] = call
        return call

    def _lost(self, task: asyncio.Task[None]) -> None:
        call = self._under_way.pop(task, None)
        if call is not None:
            call.ended = time.monotonic()


@dataclass
class Door:
    """From the carrier to whichever dispatcher `choose` names (its port), None when there is none."""

    port: int
    choose: Callable[[], int | None]
    _open: set[asyncio.Task[None]] = field(default_factory=set)
    _writers: dict[asyncio.StreamWriter, asyncio.StreamWriter] = field(default_factory=dict)
    _server: asyncio.Server | None = None

    async def __aenter__(self) -> "Door":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        await asyncio.gather(*self._open, return_exceptions=True)

    def cut(self, choose: Callable[[], bool] = lambda: True) -> int:
        """Ends connections without a word; how many."""
        chosen = [pair for pair in self._writers.items() if choose()]
        for pair in chosen:
            for writer in pair:
                writer.transport.abort()
        return len(chosen)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        inner: asyncio.StreamWriter | None = None
        try:
            port = self.choose()
            if port is None:
                return
            async with asyncio.timeout(CONNECT_S):
                inner_reader, inner = await asyncio.open_connection("127.0.0.1", port)
            self._writers[writer] = inner
            ways = [asyncio.create_task(_pump(reader, inner)), asyncio.create_task(_pump(inner_reader, writer))]
            _, others = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in others:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
        except (OSError, TimeoutError):
            pass
        finally:
            self._open.discard(task)
            self._writers.pop(writer, None)
            for one in (writer, inner):
                if one is not None:
                    one.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(LARGEST):
            writer.write(data)
            await writer.drain()


async def _message(reader: asyncio.StreamReader) -> bytes:
    """A request or an answer as it came; raises IncompleteReadError when it was cut off."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
    return head + (await reader.readexactly(int(length[1])) if length else b"")
