"""One kept-alive HTTP/1.1 connection that posts forms, one after the other.

Not aiohttp's client, although that is the better kept one: 25 µs of CPU a receipt instead of 70 to 90, which was
the dearest step of a message, on two cores that the simulator shares with the system it tests. A worker owns its
line, so no pool is needed.
"""

import asyncio
import ssl
from typing import cast
from urllib.parse import SplitResult, urlsplit

import httptools

LONGEST_BODY = 1 << 16


class Line:
    """Not to be shared: one POST at a time."""

    def __init__(self) -> None:
        self._connection: _Connection | None = None
        self._origin = ""
        self._reused = False
        self.body = b""  # of the last answer

    async def post(self, url: str, headers: str, form: bytes, timeout_s: float) -> int:
        """The answer's status; `headers` are whole lines. Raises OSError (a timeout is one) when there was no
        answer, ValueError when the URL is no address."""
        parts = urlsplit(url)
        # Cut out, not put together again: the bytes that were signed are the bytes that are asked for.
        target = url[len(parts.scheme) + 3 + len(parts.netloc) :].partition("#")[0]
        head = (
            f"POST {target if target.startswith('/') else '/' + target} HTTP/1.1\r\n"
            f"Host: {parts.netloc.rpartition('@')[2]}\r\nContent-Length: {len(form)}\r\n{headers}\r\n"
        )
        request = head.encode() + form
        async with asyncio.timeout(timeout_s):
            try:
                return await self._exchange(parts, request)
            except ConnectionResetError:
                if not self._reused:
                    raise
            # The webhook may have closed an idle connection just then: that is no failure of its own.
            return await self._exchange(parts, request)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.transport.abort()
            self._connection = None

    async def _exchange(self, parts: SplitResult, request: bytes) -> int:
        kept = False
        try:
            connection = await self._connected(parts)
            status, kept = await connection.exchange(request)
            self.body = bytes(connection.body)
            return status
        finally:
            if not kept:
                self.close()

    async def _connected(self, parts: SplitResult) -> "_Connection":
        origin = f"{parts.scheme}://{parts.netloc}"
        self._reused = origin == self._origin
        if self._connection is None or self._connection.transport.is_closing() or not self._reused:
            self.close()
            self._reused = False
            if not parts.hostname:
                raise ValueError("no host in the URL")
            secure = parts.scheme == "https"
            _, self._connection = await asyncio.get_running_loop().create_connection(
                _Connection,
                parts.hostname,
                parts.port or (443 if secure else 80),
                ssl=ssl.create_default_context() if secure else None,
            )
            self._origin = origin
        return self._connection


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._status: int | None = None
        self.body = bytearray()
        self._answer: asyncio.Future[tuple[int, bool]] | None = None

    async def exchange(self, request: bytes) -> tuple[int, bool]:
        """The answer's status, and whether the connection can take another request."""
        self.body.clear()
        self._status, self._answer = None, asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self._answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._fail("the answer is no HTTP")

    def connection_lost(self, error: Exception | None) -> None:
        if self._status is not None:  # a body without a length ends here, and a short one has told enough
            self._succeed(self._status, keep=False)
        self._fail("closed without an answer")

    def on_headers_complete(self) -> None:
        self._status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        if len(self.body) < LONGEST_BODY:
            self.body += body

    def on_message_complete(self) -> None:
        self._succeed(self._parser.get_status_code(), keep=self._parser.should_keep_alive())

    def _succeed(self, status: int, *, keep: bool) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result((status, keep))

    def _fail(self, why: str) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionResetError(why))
