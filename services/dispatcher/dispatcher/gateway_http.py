"""One POST over aiohttp, and what was seen of it. Never a retry, never a redirect: aiohttp repeats no POST."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from kernel.steps import reached
from yarl import URL

from dispatcher import retry
from dispatcher.outcome import NoAnswer
from dispatcher.provider import Leaving, unnoted
from dispatcher.settings import Settings

LONGEST_ANSWER = 64 * 1024
LONGEST_LIST = 8 * 1024 * 1024
# Below what servers give (5 s and more): a connection that they close while we write makes an unknown.
KEEP_ALIVE_S = 4.0


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer as it came."""

    status: int
    body: bytes
    retry_after_s: float | None


class _Request(aiohttp.BytesPayload):
    """A body that knows whether any of the request may have left.

    aiohttp buffers the headers and writes them together with the body, so before this moment nothing was written; and
    if the transport is closing, aiohttp writes nothing either.
    """

    may_have_left = False

    def __init__(self, content: bytes, content_type: str, leaving: Leaving) -> None:
        super().__init__(content, content_type=content_type)
        self._leaving = leaving

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        transport = getattr(writer, "transport", None)
        self.may_have_left = transport is not None and not transport.is_closing()
        if self.may_have_left:
            self._leaving()
        await super().write_with_length(writer, content_length)
        reached("post.written")


class Http:
    """Connections to one carrier. Open it with `async with`."""

    def __init__(self, settings: Settings, headers: Mapping[str, str]) -> None:
        # Nobody decompresses: an answer we cannot read is an unknown.
        self._headers = {**headers, "Accept": "application/json", "Accept-Encoding": "identity"}
        connect_s = settings.carrier_connect_timeout_s
        self._timeout = aiohttp.ClientTimeout(
            total=settings.carrier_timeout_s, sock_connect=connect_s, connect=connect_s
        )
        self._connections = settings.carrier_connections
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "Http":
        connector = aiohttp.TCPConnector(
            limit=self._connections, keepalive_timeout=KEEP_ALIVE_S, ttl_dns_cache=60, use_dns_cache=True
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            timeout=self._timeout,
            headers=self._headers,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        assert self._session is not None
        await self._session.close()

    async def post(
        self,
        url: URL,
        body: bytes,
        content_type: str,
        headers: Mapping[str, str] | None = None,
        leaving: Leaving = unnoted,
    ) -> Answered | NoAnswer:
        """Asks the carrier once and says what was seen."""
        assert self._session is not None
        request = _Request(body, content_type, leaving)
        try:
            async with self._session.post(url, data=request, headers=headers, allow_redirects=False) as response:
                retry_after_s = retry.read_retry_after(response.headers.get("Retry-After"), datetime.now(UTC))
                return Answered(response.status, await _body(response, LONGEST_ANSWER), retry_after_s)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            if not request.may_have_left:
                return NoAnswer.NOTHING_WRITTEN
            return NoAnswer.TIMEOUT if isinstance(error, TimeoutError) else NoAnswer.CONNECTION_LOST

    async def get(self, url: URL, query: Mapping[str, str]) -> bytes | None:
        """What is there; None when the carrier says anything but 200, or nothing."""
        assert self._session is not None
        try:
            async with self._session.get(url, params=query, allow_redirects=False) as response:
                body = await _body(response, LONGEST_LIST)
                return body if response.status == 200 else None
        except (aiohttp.ClientError, OSError, TimeoutError):
            return None


async def _body(response: Any, longest: int) -> bytes:
    """The answer's body; empty when it was cut off or is absurdly long, for the status was seen and stays seen."""
    try:
        body: bytes = await response.content.read(longest)
        while not response.content.at_eof() and len(body) < longest:
            body += await response.content.read(longest)
    except (aiohttp.ClientError, OSError, TimeoutError):
        return b""
    return body if response.content.at_eof() else b""
