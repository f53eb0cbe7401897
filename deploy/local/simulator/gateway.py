"""The webhooks: status callbacks that leave when they are due and are tried until answered, and inbound messages."""

import asyncio
import logging
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp
from yarl import URL

from .signature import sign
from .store import Promise, Store
from .twilio import encode, inbound_form, status_form

log = logging.getLogger("simulator")

WORKERS = 64
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 5.0
TIMEOUT_S = 15.0
"""Twilio's own patience with a webhook."""
UNREACHABLE = (aiohttp.ClientError, TimeoutError, OSError)


@dataclass(slots=True)
class Owed:
    """A promise on its way: which receipt is next, and how long to wait should it fail again."""

    promise: Promise
    next: int = 0
    pause_s: float = FIRST_PAUSE_S


def open_session() -> aiohttp.ClientSession:
    """Sized and stripped: the simulator shares its two cores with the system it tests."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=2 * WORKERS, ttl_dns_cache=300, keepalive_timeout=30),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        timeout=aiohttp.ClientTimeout(total=None),
        skip_auto_headers=["Accept", "Accept-Encoding", "User-Agent"],
    )


class Gateway:
    def __init__(self, session: aiohttp.ClientSession, store: Store, account_sid: str, auth_token: str) -> None:
        self._session = session
        self._store = store
        self._account_sid = account_sid
        self._auth_token = auth_token
        self._ready: asyncio.Queue[Owed] = asyncio.Queue()
        self._reachable = True

    def owe(self, promise: Promise) -> None:
        """Sends the promise's receipts one after the other, each when it is due."""
        if promise.receipts and promise.callback:
            self._when_due(Owed(promise))

    async def work_for_ever(self) -> None:
        """One of WORKERS. It rests longer after each failure, so that a webhook that is down meets at most
        WORKERS / LONGEST_PAUSE_S = 13 tries a second, however many receipts wait for it."""
        pause_s = FIRST_PAUSE_S
        while True:
            owed = await self._ready.get()
            if await self._delivered(owed):
                pause_s = FIRST_PAUSE_S
                self._advance(owed)
            else:
                self._retry(owed)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def inbound(self, url: str, message_id: str | None, sender: str, to: str, body: str) -> tuple[int, str]:
        """The webhook's status (502 when there was no answer) and the id of the message."""
        message_id = message_id or f"SM{secrets.token_hex(16)}"
        try:
            status = await self._post(url, inbound_form(self._account_sid, message_id, sender, to, body))
        except (*UNREACHABLE, ValueError):
            status = 502
        return status, message_id

    async def _delivered(self, owed: Owed) -> bool:
        promise, receipt = owed.promise, owed.promise.receipts[owed.next]
        assert promise.callback is not None
        form = status_form(
            self._account_sid, promise.message_id, promise.to, promise.sender, receipt.status, receipt.code
        )
        try:
            status = await self._post(promise.callback, form)
        except ValueError:  # no address at all: nobody will ever answer there
            log.warning("callback_address_refused")
            return True
        except UNREACHABLE as error:
            self._note(reachable=False, why=type(error).__name__)
            return False
        self._note(reachable=status < 500, why=str(status))
        return status < 500

    async def _post(self, url: str, form: Mapping[str, str]) -> int:
        headers = {
            "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8",
            "User-Agent": "TwilioProxy/1.1",
            "X-Twilio-Signature": sign(url, form, self._auth_token),
        }
        exact = URL(url, encoded=True)  # the bytes that were signed are the bytes that are asked for
        async with (
            asyncio.timeout(TIMEOUT_S),  # the session's own timeouts cost 20 µs more
            self._session.post(exact, data=encode(form), headers=headers, allow_redirects=False) as answer,
        ):
            await answer.read()  # an unread answer would cost the connection
            return answer.status

    def _advance(self, owed: Owed) -> None:
        owed.next += 1
        owed.pause_s = FIRST_PAUSE_S
        if owed.next == len(owed.promise.receipts):
            self._store.keep(owed.promise.message_id)
        else:
            self._when_due(owed)

    def _retry(self, owed: Owed) -> None:
        asyncio.get_running_loop().call_later(owed.pause_s, self._ready.put_nowait, owed)
        owed.pause_s = min(2 * owed.pause_s, LONGEST_PAUSE_S)

    def _when_due(self, owed: Owed) -> None:
        due_s = owed.promise.accepted_at.timestamp() + owed.promise.receipts[owed.next].after_ms / 1000
        wait_s = due_s - time.time()
        if wait_s <= 0:
            self._ready.put_nowait(owed)
        else:
            asyncio.get_running_loop().call_later(wait_s, self._ready.put_nowait, owed)

    def _note(self, *, reachable: bool, why: str) -> None:
        """Once per change: thousands of receipts fail together."""
        if reachable != self._reachable:
            self._reachable = reachable
            log.warning("webhook_answers_again" if reachable else "webhook_fails why=%s", *([] if reachable else [why]))
