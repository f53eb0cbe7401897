"""The webhooks: status callbacks that leave when they are due and are tried until answered, and inbound messages."""

import asyncio
import logging
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from . import telnyx
from .line import Line
from .receipts import Receipt
from .records import Promise
from .signature import sign
from .store import Store
from .twilio import encode, inbound_form, said_in, status_form

log = logging.getLogger("simulator")

WORKERS = 64
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 5.0
TIMEOUT_S = 15.0
"""Twilio's own patience with a webhook."""


@dataclass(slots=True)
class Owed:
    """A promise on its way: which receipt is next, and how long to wait should it fail again."""

    promise: Promise
    next: int = 0
    pause_s: float = FIRST_PAUSE_S


class Gateway:
    def __init__(self, store: Store, account_sid: str, auth_token: str, telnyx_seed: bytes = b"") -> None:
        self._store = store
        self._telnyx_seed = telnyx_seed
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
        line, pause_s = Line(), FIRST_PAUSE_S
        while True:
            owed = await self._ready.get()
            if await self._delivered(line, owed):
                pause_s = FIRST_PAUSE_S
                self._advance(owed)
            else:
                self._retry(owed)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def inbound(
        self,
        url: str,
        message_id: str | None,
        sender: str,
        to: str,
        body: str,
        provider: str = "twilio",
        opt_out_type: str | None = None,
    ) -> tuple[int, str, list[str]]:
        """The webhook's status (502 when there was no answer), the message's id, and what is sent back for TwiML."""
        message_id = message_id or f"SM{secrets.token_hex(16)}"
        line = Line()
        try:
            if provider == "telnyx":
                status = await self._post_json(line, url, telnyx.inbound_event(message_id, sender, to, body))
            else:
                form = inbound_form(self._account_sid, message_id, sender, to, body, opt_out_type)
                status = await self._post(line, url, form)
        except (OSError, ValueError):
            status = 502
        finally:
            line.close()
        return status, message_id, said_in(line.body) if status == HTTPStatus.OK else []

    async def _delivered(self, line: Line, owed: Owed) -> bool:
        try:
            status = await self._tell(line, owed.promise, owed.promise.receipts[owed.next])
        except OSError as error:  # first, as a refused certificate is both
            self._note(reachable=False, why=type(error).__name__)
            return False
        except ValueError:  # no address: nobody will ever answer there
            log.warning("callback_address_refused")
            return True
        self._note(reachable=status < 500, why=str(status))
        return status < 500

    async def _tell(self, line: Line, promise: Promise, receipt: Receipt) -> int:
        assert promise.callback is not None
        if promise.provider == "telnyx":
            event = telnyx.status_event(promise, receipt.status, receipt.code)
            return await self._post_json(line, promise.callback, event)
        form = status_form(
            self._account_sid, promise.message_id, promise.to, promise.sender, receipt.status, receipt.code
        )
        return await self._post(line, promise.callback, form)

    async def _post_json(self, line: Line, url: str, event: bytes) -> int:
        return await line.post(url, telnyx.signed(event, self._telnyx_seed), event, TIMEOUT_S)

    async def _post(self, line: Line, url: str, form: Mapping[str, str]) -> int:
        headers = (
            "Content-Type: application/x-www-form-urlencoded; charset=UTF-8\r\n"
            "User-Agent: TwilioProxy/1.1\r\n"
            f"X-Twilio-Signature: {sign(url, form, self._auth_token)}\r\n"
        )
        return await line.post(url, headers, encode(form), TIMEOUT_S)

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
