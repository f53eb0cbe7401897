"""Telnyx's words: the bytes of a POST, what its answers say, what its webhooks prove. It knows idempotency keys."""

from typing import Any

import orjson

from dispatcher.outcome import LONGEST_ID, Accepted, Answer, Said, code_or_status, is_id, said
from dispatcher.provider import Inbound, Text, Unreadable
from dispatcher.reasons import TELNYX, reason_of
from dispatcher.receipt import Delivered, NotDelivered, Receipt

TAKEN = frozenset({"queued", "sending", "sent"})
ARRIVED = frozenset({"delivered"})
LOST = frozenset({"sending_failed", "delivery_failed", "expired"})
# A full queue is a 4xx that is no word on the message: it waits, as after a 429.
NO_ROOM = frozenset({"40318", "40011", "10011"})
EVENTS = frozenset({"message.sent", "message.finalized"})
MESSAGE_RECEIVED = "message.received"


def request(text: Text) -> bytes:
    """The JSON of a POST to `/v2/messages`."""
    return orjson.dumps(
        {
            "from": text.sender,
            "to": text.to,
            "text": text.body,
            "webhook_url": text.status_callback,
            "use_profile_webhooks": False,
        }
    )


def answer(status: int, body: bytes, retry_after_s: float | None = None) -> Answer:
    """What an answer says. Whatever cannot be read proves no more than its status."""
    fields = _object(body)
    data, code = _within(fields, "data"), _code(fields)
    id_, parts = data.get("id"), data.get("parts")
    row = Said.THROTTLED if 400 <= status < 500 and code in NO_ROOM else said(status, has_id=is_id(id_), keyed=True)
    return Answer(
        row,
        carrier_message_id=str(id_) if is_id(id_) else None,
        carrier_code=code_or_status(row, code, status),
        reason=reason_of(code, TELNYX),
        segments=parts if isinstance(parts, int) and 0 < parts < 1000 else None,
        retry_after_s=retry_after_s,
    )


def receipt_of(body: bytes) -> tuple[str, Receipt | None]:
    """The message's id, and what the webhook proves; None for what we do not know. Raises Unreadable."""
    event = _within(_object(body), "data")
    payload = _within(event, "payload")
    id_, receivers = payload.get("id"), payload.get("to")
    if not is_id(id_):
        raise Unreadable("The message's id is missing or absurd.")
    first = receivers[0] if isinstance(receivers, list) and receivers else {}
    status = first.get("status") if isinstance(first, dict) else None
    if str(event.get("event_type")) not in EVENTS:
        return str(id_), None
    return str(id_), _proven(str(id_), str(status), _code(payload))


def inbound_of(body: bytes) -> Inbound | None:
    """What a person sent; None for another event. Raises Unreadable."""
    event = _within(_object(body), "data")
    if event.get("event_type") != MESSAGE_RECEIVED:
        return None
    payload = _within(event, "payload")
    receivers = payload.get("to")
    to = receivers[0] if isinstance(receivers, list) and receivers else {}
    id_, number = payload.get("id"), _within(payload, "from").get("phone_number")
    sender, text = to.get("phone_number") if isinstance(to, dict) else None, payload.get("text")
    if not all(map(is_id, (id_, number, sender))):
        raise Unreadable("The message's id, from or to is missing or absurd.")
    return Inbound(str(id_), str(number), str(sender), text if isinstance(text, str) else "")


def _proven(id_: str, status: str, code: str | None) -> Receipt | None:
    if status in TAKEN:
        return Accepted(id_)
    if status in ARRIVED:
        return Delivered(id_, code)
    if status in LOST:
        return NotDelivered(id_, code, reason_of(code, TELNYX))
    return None  # delivery_unconfirmed among them: the carrier does not know either


def _code(fields: dict[str, Any]) -> str | None:
    errors = fields.get("errors")
    first = errors[0] if isinstance(errors, list) and errors else {}
    code = first.get("code") if isinstance(first, dict) else None
    given = str(code) if isinstance(code, str | int) else ""
    return given if given.isalnum() and given.isascii() and len(given) <= LONGEST_ID else None


def _within(fields: dict[str, Any], name: str) -> dict[str, Any]:
    found = fields.get(name)
    return found if isinstance(found, dict) else {}


def _object(body: bytes) -> dict[str, Any]:
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return fields if isinstance(fields, dict) else {}
