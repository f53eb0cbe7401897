"""The HTTP face of Telnyx: `POST /v2/messages`, with its idempotency keys."""

import asyncio
import hmac
import time
from datetime import UTC, datetime

import orjson
from aiohttp import web

from . import telnyx, twilio
from .carrier import Carrier
from .decision import CREATED, Decision, refuse
from .gateway import Gateway
from .records import Entry, Promise
from .settings import Settings
from .store import Store

PROVIDER = "telnyx"


class TelnyxApi:
    """Takes the same numbers, faults and habits as Twilio's face, and writes into the same ledger."""

    def __init__(self, settings: Settings, store: Store, gateway: Gateway, carrier: Carrier) -> None:
        self._settings, self._store, self._gateway, self._carrier = settings, store, gateway, carrier
        self._keys = telnyx.Keys()
        for entry, promise in store.keyed():
            if promise.provider != PROVIDER:
                continue
            asked = twilio.SendRequest(entry["to"], entry["from"], entry["body"], promise.callback)
            self._keys.begin(entry["idempotency_key"], asked, promise.accepted_at.timestamp())
            self._keys.end(entry["idempotency_key"], entry["message_id"])

    async def send(self, request: web.Request) -> web.Response:
        """Read, look at the key, decide, write down; a success is remembered before it is answered."""
        asked, key = telnyx.read_json(await request.read()), request.headers.get("Idempotency-Key")
        if not self._authorised(request):
            return await self._refused(asked, key, refuse(401, 20003))
        known = self._keys.look(key, asked, time.time())
        if isinstance(known, telnyx.Remembered):
            return await self._replayed(asked, key, known)
        if known is not None:
            return await self._refused(asked, key, refuse(known, known))
        self._keys.begin(key, asked, time.time())
        done = None
        try:
            decision = self._decide(asked)
            message_id = await self._take(asked, key, decision)
            if decision.hold_ms:
                await asyncio.sleep(decision.hold_ms / 1000)
            done = message_id if decision.status < 300 else None
        finally:
            self._keys.end(key, done)
        if decision.cut and request.transport is not None:
            request.transport.abort()
        if message_id is None or decision.code is not None:
            return _refusal(decision)
        return _taken(message_id, asked)

    def _decide(self, asked: twilio.SendRequest) -> Decision:
        if flaw := twilio.flaw_of(asked):
            return refuse(400, flaw)
        assert asked.to is not None
        return self._carrier.take(asked.to, time.monotonic())

    async def _take(self, asked: twilio.SendRequest, key: str | None, decision: Decision) -> str | None:
        status = 200 if decision.status == CREATED else decision.status  # which is Telnyx's for what it takes
        entry = _entry(asked, key, status, accepted=decision.accepted)
        message_id = await self._store.write(entry, asked.callback, decision.receipts, PROVIDER)
        if message_id is not None:
            assert asked.to and asked.sender
            self._gateway.owe(
                Promise(
                    message_id, asked.to, asked.sender, entry.received_at, asked.callback, decision.receipts, PROVIDER
                )
            )
        return message_id

    async def _replayed(self, asked: twilio.SendRequest, key: str | None, known: telnyx.Remembered) -> web.Response:
        """The answer of the first time: no text goes out."""
        assert known.message_id is not None
        await self._store.write(_entry(asked, key, 200, accepted=False), None, (), PROVIDER, known.message_id)
        return _taken(known.message_id, asked)

    async def _refused(self, asked: twilio.SendRequest, key: str | None, decision: Decision) -> web.Response:
        await self._store.write(_entry(asked, key, decision.status, accepted=False), None, (), PROVIDER)
        return _refusal(decision)

    def _authorised(self, request: web.Request) -> bool:
        wanted = f"Bearer {self._settings.telnyx_api_key}".encode()
        given = request.headers.get("Authorization", "").encode(errors="replace")
        return bool(self._settings.telnyx_api_key) and hmac.compare_digest(given, wanted)


def _entry(asked: twilio.SendRequest, key: str | None, status: int, *, accepted: bool) -> Entry:
    return Entry(datetime.now(UTC), asked.to, asked.sender, asked.body, status, accepted, key)


def _taken(message_id: str, asked: twilio.SendRequest) -> web.Response:
    return _json(telnyx.message(message_id, asked.to or "", asked.sender or "", asked.body or ""), 200)


def _refusal(decision: Decision) -> web.Response:
    code = decision.code or 20500
    title = telnyx.TITLES.get(decision.status) or twilio.MESSAGES.get(code, "The message could not be sent")
    answer = _json(telnyx.error(code, title), decision.status)
    if decision.retry_after_s is not None:
        answer.headers["Retry-After"] = str(decision.retry_after_s)
    return answer


def _json(body: dict[str, object], status: int) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")
