"""Telnyx's words on the wire: requests, answers, webhooks, and what it remembers of idempotency keys."""

import base64
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from .records import Promise
from .twilio import SendRequest, segments_of

KEY_LIFE_S = 86_400
# What goes wrong is planned in Twilio's codes; these are Telnyx's for the same. What is not listed stays as it is.
CODES = {
    20003: 10009, 20429: 10011, 20500: 10007, 21211: 40310, 21212: 40305, 21602: 40316, 21603: 40305, 21604: 40310,
    21610: 40300, 21614: 40310, 21617: 40302, 30003: 40008, 30004: 40004, 30005: 40012, 30006: 40001, 30007: 40002,
    30034: 40010,
}  # fmt: skip
TITLES = {409: "Idempotent request in progress", 422: "Idempotency key used with another body"}
STATUSES = {"sent": "sent", "delivered": "delivered", "undelivered": "delivery_failed", "failed": "sending_failed"}


def read_json(raw: bytes) -> SendRequest:
    """Never raises: what is no JSON has no fields."""
    try:
        body = json.loads(raw)
    except ValueError:
        body = {}
    given = body if isinstance(body, dict) else {}
    return SendRequest(*(_text(given.get(name)) for name in ("to", "from", "text", "webhook_url")))


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def message(message_id: str, to: str, sender: str, body: str, status: str = "queued") -> dict[str, object]:
    return {
        "data": {
            "record_type": "message",
            "direction": "outbound",
            "id": message_id,
            "type": "SMS",
            "from": {"phone_number": sender},
            "to": [{"phone_number": to, "status": status}],
            "text": body,
            "parts": segments_of(body),
        }
    }


def error(code: int, title: str) -> dict[str, object]:
    return {"errors": [{"code": str(CODES.get(code, code)), "title": title, "detail": title}]}


def status_event(promise: Promise, status: str, code: int | None) -> bytes:
    """The webhook of a receipt."""
    payload: dict[str, object] = {
        "record_type": "message",
        "direction": "outbound",
        "id": promise.message_id,
        "from": {"phone_number": promise.sender},
        "to": [{"phone_number": promise.to, "status": STATUSES[status]}],
        "errors": [] if code is None else [{"code": str(CODES.get(code, code)), "title": "not delivered"}],
    }
    return _event("message.sent" if status == "sent" else "message.finalized", payload)


def inbound_event(message_id: str, sender: str, to: str, body: str) -> bytes:
    """The webhook of what a person sent; `sender` is the person's number."""
    payload = {
        "record_type": "message",
        "direction": "inbound",
        "id": message_id,
        "from": {"phone_number": sender},
        "to": [{"phone_number": to, "status": "webhook_delivered"}],
        "text": body,
        "type": "SMS",
    }
    return _event("message.received", payload)


def _event(kind: str, payload: Mapping[str, object]) -> bytes:
    at = datetime.now(UTC).isoformat()
    return orjson.dumps({"data": {"record_type": "event", "event_type": kind, "occurred_at": at, "payload": payload}})


def signed(body: bytes, seed: bytes) -> str:
    """Header lines: Ed25519 over the time, a bar and the body."""
    timestamp = str(int(time.time()))
    signature = Ed25519PrivateKey.from_private_bytes(seed).sign(timestamp.encode() + b"|" + body)
    return (
        "Content-Type: application/json\r\n"
        f"telnyx-timestamp: {timestamp}\r\n"
        f"telnyx-signature-ed25519: {base64.b64encode(signature).decode()}\r\n"
    )


@dataclass(slots=True)
class Remembered:
    """What a key was used for; without an id while the first request is under way."""

    request: SendRequest
    used_at: float
    message_id: str | None = None


@dataclass(slots=True)
class Keys:
    """Successes are remembered for a day, failures are not: a request that failed is done once more when repeated."""

    known: dict[str, Remembered] = field(default_factory=dict)

    def look(self, key: str | None, request: SendRequest, now: float) -> Remembered | int | None:
        """What was answered before, 409 while it is under way, 422 for another request; None for a new key."""
        found = self.known.get(key or "")
        if found is None or found.used_at < now - KEY_LIFE_S:
            return None
        if found.request != request:
            return 422
        return 409 if found.message_id is None else found

    def begin(self, key: str | None, request: SendRequest, now: float) -> None:
        if key:
            self.known[key] = Remembered(request, now)

    def end(self, key: str | None, message_id: str | None) -> None:
        """Without an id it failed, and is forgotten."""
        if not key:
            return
        if message_id is None:
            self.known.pop(key, None)
        else:
            self.known[key].message_id = message_id
