"""Twilio over aiohttp: one POST per intent, and what was seen of it. Never a retry, never a redirect."""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any
from urllib.parse import urlencode

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from kernel.steps import reached
from yarl import URL

from dispatcher import retry
from dispatcher.outcome import Answer, NoAnswer, Seen
from dispatcher.settings import Settings

LONGEST_ANSWER = 64 * 1024
# Below what servers give (5 s and more): a connection that they close while we write makes an unknown.
KEEP_ALIVE_S = 4.0
FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Text:
    """What the carrier is asked to send."""

    to: str
    sender: str
    body: str
    status_callback: str


class _Form(aiohttp.BytesPayload):
    """A body that knows whether any of the request may have left.

    aiohttp buffers the headers and writes them together with the body, so before this moment nothing was written; and
    if the transport is closing, aiohttp writes nothing either.
    """

    may_have_left = False

    def __init__(self, content: bytes, leaving: Callable[[], None]) -> None:
        super().__init__(content, content_type=FORM)
        self._leaving = leaving

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        transport = getattr(writer, "transport", None)
        self.may_have_left = transport is not None and not transport.is_closing()
        if self.may_have_left:
            self._leaving()
        await super().write_with_length(writer, content_length)
        reached("post.written")


class TwilioGateway:
    """The carrier's message API. Open it with `async with`."""

    @classmethod
    def of(cls, settings: Settings) -> "TwilioGateway":
        return cls(
            settings.carrier_url,
            settings.twilio_account_sid,
            settings.twilio_auth_token,
            connections=settings.carrier_connections,
            connect_s=settings.carrier_connect_timeout_s,
            total_s=settings.carrier_timeout_s,
        )

    def __init__(
        self, base_url: str, account_sid: str, auth_token: str, connections: int, connect_s: float, total_s: float
    ) -> None:
        self._url = URL(f"{base_url}/2010-04-01/Accounts/{account_sid}/Messages.json")
        credentials = base64.b64encode(f"{account_sid}:{auth_token}".encode()).decode()
        self._headers = {
            "Authorization": f"Basic {credentials}",
            "Accept": "application/json",
            "Accept-Encoding": "identity",  # nobody decompresses: an answer we cannot read is an unknown
        }
        self._timeout = aiohttp.ClientTimeout(total=total_s, sock_connect=connect_s, connect=connect_s)
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "TwilioGateway":
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

    async def post(self, text: Text, leaving: Callable[[], None]) -> Seen:
        """Asks the carrier once and says what was seen; `leaving` is called before the first byte is written."""
        assert self._session is not None
        fields = {"To": text.to, "From": text.sender, "Body": text.body, "StatusCallback": text.status_callback}
        form = _Form(urlencode(fields).encode(), leaving)
        try:
            async with self._session.post(self._url, data=form, allow_redirects=False) as response:
                retry_after_s = retry.read_retry_after(response.headers.get("Retry-After"), datetime.now(UTC))
                return Answer(response.status, await _body(response), retry_after_s)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            if not form.may_have_left:
                return NoAnswer.NOTHING_WRITTEN
            return NoAnswer.TIMEOUT if isinstance(error, TimeoutError) else NoAnswer.CONNECTION_LOST


async def _body(response: Any) -> bytes:
    """The answer's body; empty when it was cut off or is absurdly long, for the status was seen and stays seen."""
    try:
        body: bytes = await response.content.read(LONGEST_ANSWER)
        while not response.content.at_eof() and len(body) < LONGEST_ANSWER:
            body += await response.content.read(LONGEST_ANSWER)
    except (aiohttp.ClientError, OSError, TimeoutError):
        return b""
    return body if response.content.at_eof() else b""
