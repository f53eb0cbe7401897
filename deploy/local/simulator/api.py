"""The HTTP face: Twilio's Messages API (Telnyx's is beside it), and the controls under /simulator/."""

import asyncio
import base64
import hmac
import time
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import orjson
from aiohttp import web

from . import twilio
from .api_telnyx import TelnyxApi
from .carrier import Carrier
from .decision import Decision, refuse
from .faults import FaultError, parse
from .gateway import Gateway
from .receipts import status_at
from .records import Entry, Promise
from .settings import Settings
from .store import Store

LONGEST_REQUEST = 1 << 16
MESSAGES = f"/{twilio.API_VERSION}/Accounts/{{account}}/Messages"


class Api:
    def __init__(self, settings: Settings, store: Store, gateway: Gateway) -> None:
        self._settings = settings
        self._store = store
        self._gateway = gateway
        self._carrier = Carrier(sent_callbacks=settings.sent_callbacks)
        self._faults: object = {}
        self._telnyx = TelnyxApi(settings, store, gateway, self._carrier)
        basic = f"{settings.account_sid}:{settings.auth_token}".encode()
        self._authorization = b"Basic " + base64.b64encode(basic)

    def app(self) -> web.Application:
        app = web.Application(client_max_size=LONGEST_REQUEST)
        app.router.add_post(f"{MESSAGES}.json", self.send)
        app.router.add_get(f"{MESSAGES}.json", self.list_messages)
        app.router.add_get(f"{MESSAGES}/{{message}}.json", self.fetch_message)
        app.router.add_post("/v2/messages", self._telnyx.send)
        app.router.add_get("/simulator/ledger", self.ledger)
        app.router.add_get("/simulator/faults", self.show_faults)
        app.router.add_put("/simulator/faults", self.replace_faults)
        app.router.add_post("/simulator/inbound", self.inbound)
        app.router.add_get("/healthz", self.healthz)
        return app

    async def send(self, request: web.Request) -> web.Response:
        """Read, decide, write down, and only then let receipts and the answer go, whichever is first."""
        asked = twilio.read_form(await request.read())
        decision = self._decide(request, asked)
        entry = Entry(
            received_at=datetime.now(UTC),
            to=asked.to,
            sender=asked.sender,
            body=asked.body,
            status=decision.status,
            accepted=decision.accepted,
            idempotency_key=_header(request, "Idempotency-Key"),
        )
        message_id = await self._store.write(entry, asked.callback, decision.receipts)
        if message_id is not None:
            assert asked.to and asked.sender
            self._gateway.owe(
                Promise(message_id, asked.to, asked.sender, entry.received_at, asked.callback, decision.receipts)
            )
        if decision.hold_ms:
            await asyncio.sleep(decision.hold_ms / 1000)
        return self._answer(request, decision, entry, message_id)

    def _decide(self, request: web.Request, asked: twilio.SendRequest) -> Decision:
        if not self._authorised(request):
            return refuse(401, 20003)
        if flaw := twilio.flaw_of(asked):
            return refuse(400, flaw)
        assert asked.to is not None
        return self._carrier.take(asked.to, time.monotonic())

    def _answer(self, request: web.Request, decision: Decision, entry: Entry, message_id: str | None) -> web.Response:
        if decision.cut and request.transport is not None:
            request.transport.abort()
        if decision.code is not None:
            return _refusal(decision.status, decision.code, decision.retry_after_s)
        assert message_id and entry.to and entry.sender and entry.body
        line = {"message_id": message_id, "to": entry.to, "from": entry.sender, "body": entry.body}
        message = twilio.message(self._settings.account_sid, line, entry.received_at)
        return _json(message, decision.status)

    def _authorised(self, request: web.Request) -> bool:
        given = request.headers.get("Authorization", "").encode(errors="replace")
        return (
            hmac.compare_digest(given, self._authorization)
            and request.match_info["account"] == self._settings.account_sid
        )

    async def fetch_message(self, request: web.Request) -> web.Response:
        if not self._authorised(request):
            return _refusal(401, 20003)
        found = self._store.find(request.match_info["message"])
        if found is None:
            return _refusal(404, 20404)
        return _json(self._as_known_now(*found))

    async def list_messages(self, request: web.Request) -> web.Response:
        if not self._authorised(request):
            return _refusal(401, 20003)
        size = request.query.get("PageSize", "50")
        if not (size.isascii() and size.isdigit() and 1 <= int(size) <= 1000):
            return _refusal(400, 20001)
        entries = await asyncio.to_thread(
            self._store.newest, request.query.get("To"), request.query.get("From"), int(size)
        )
        since = request.query.get("DateSent>", "")  # a date, of which its whole day counts
        found = (self._store.find(entry["message_id"]) for entry in entries if entry["received_at"][:10] >= since)
        messages = [self._as_known_now(*pair) for pair in found if pair]
        return _json(twilio.page(self._settings.account_sid, messages, int(size)))

    def _as_known_now(self, entry: dict[str, str], promise: Promise) -> dict[str, object]:
        latest = status_at(promise.receipts, promise.accepted_at, datetime.now(UTC))
        return twilio.message(self._settings.account_sid, entry, promise.accepted_at, latest.status, latest.code)

    async def ledger(self, request: web.Request) -> web.StreamResponse:
        """What is durable now; its length is announced, so a stream cut short is noticed."""
        at, end = 0, self._store.durable_end
        answer = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        answer.content_length = end
        await answer.prepare(request)
        while at < end:
            block = await asyncio.to_thread(self._store.read_ledger, at, end)
            await answer.write(block)
            at += len(block)
        return answer

    async def show_faults(self, request: web.Request) -> web.Response:
        return _json(self._faults)

    async def replace_faults(self, request: web.Request) -> web.Response:
        try:
            body = orjson.loads(await request.read())
            faults = parse(body)
        except orjson.JSONDecodeError:
            return _problem("the body is not JSON")
        except FaultError as error:
            return _problem(str(error))
        self._carrier.behave(faults)
        self._faults = body
        return _json(body)

    async def inbound(self, request: web.Request) -> web.Response:
        try:
            reply = orjson.loads(await request.read())
        except orjson.JSONDecodeError:
            return _problem("the body is not JSON")
        if flaw := _flaw_of_reply(reply):
            return _problem(flaw)
        provider = reply.get("provider") or self._settings.provider_of(reply["to"])
        status, message_id, said = await self._gateway.inbound(
            self._settings.inbound_url(provider),
            reply.get("message_id"),
            reply["from"],
            reply["to"],
            reply["body"],
            provider,
            reply.get("opt_out_type"),
        )
        answers = {"answers": said} if said else {}
        return _json({"status": status, "message_id": message_id, **answers}, status)

    async def healthz(self, request: web.Request) -> web.Response:
        return _json({"status": "ok"})


def _header(request: web.Request, name: str) -> str | None:
    value = request.headers.get(name)
    # Bytes that are no UTF-8 arrive as lone surrogates, which JSON cannot hold.
    return value if value is None or value.isascii() else value.encode(errors="replace").decode()


def _flaw_of_reply(reply: object) -> str | None:
    if not isinstance(reply, dict):
        return "the body must be a JSON object"
    if unknown := sorted(set(reply) - {"from", "to", "body", "message_id", "opt_out_type", "provider"}):
        return f"unknown key {unknown[0]}; known are from, to, body, message_id, opt_out_type, provider"
    for key in ("from", "to", "body"):
        if not isinstance(reply.get(key), str) or (key != "body" and not reply[key]):
            return f"{key} must be a text"
    if reply.get("provider", "twilio") not in ("twilio", "telnyx"):
        return "provider must be twilio or telnyx"
    for key in ("message_id", "opt_out_type"):
        if not isinstance(reply.get(key, ""), str):
            return f"{key} must be a text"
    return None


def _json(body: Any, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")


def _refusal(status: int, code: int, retry_after_s: int | None = None) -> web.Response:
    answer = _json(twilio.error(status, code), status)
    if retry_after_s is not None:
        answer.headers["Retry-After"] = str(retry_after_s)
    if status == HTTPStatus.UNAUTHORIZED:
        answer.headers["WWW-Authenticate"] = 'Basic realm="Twilio API"'
    return answer


def _problem(message: str) -> web.Response:
    return _json({"message": message, "status": 400}, 400)
