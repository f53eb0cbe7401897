"""Telnyx's words: the bytes of a POST, what its answers say, what its webhooks prove. It knows idempotency keys."""

from datetime import UTC, datetime
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
    asked = {"from": text.sender, "to": text.to, "text": text.body, "use_profile_webhooks": False}
    return orjson.dumps(asked | {"webhook_url": text.status_callback} if text.status_callback else asked)


def answer(status: int, body: bytes, retry_after_s: float | None = None) -> Answer:
    """What an answer says. Whatever cannot be read proves no more than its status."""
    fields = _object(body)
    data, code = _within(fields, "data"), _code(fields)
    id_, parts = data.get("id"), data.get("parts")
    row = _row(status, code, has_id=is_id(id_))
    return Answer(
        row,
        carrier_message_id=str(id_) if is_id(id_) else None,
        carrier_code=code_or_status(row, code, status),
        reason=reason_of(code, TELNYX),
        segments=parts if isinstance(parts, int) and 0 < parts < 1000 else None,
        retry_after_s=retry_after_s,
    )


def _row(status: int, code: str | None, *, has_id: bool) -> Said:
    row = said(status, has_id=has_id, keyed=True)
    if 400 <= status < 500 and code in NO_ROOM:
        return Said.THROTTLED
    # A refusal without an error of Telnyx's is somebody's in between, who has not looked at the key.
    return Said.NOT_ADMITTED if row == Said.REFUSED and code is None else row


def is_inbound(body: bytes) -> bool:
    """Whether the webhook tells of what a person sent. Raises Unreadable."""
    return str(_event(body).get("event_type")) == MESSAGE_RECEIVED


def receipt_of(body: bytes) -> tuple[str, Receipt | None]:
    """The message's id, and what the webhook proves; None for what we do not know. Raises Unreadable."""
    event = _event(body)
    payload = _within(event, "payload")
    id_, status = payload.get("id"), str(_first(payload, "to").get("status"))
    if not is_id(id_):
        raise Unreadable("The message's id is missing or absurd.")
    known = str(event.get("event_type")) in EVENTS
    return str(id_), _proven(str(id_), status, _code(payload)) if known else None


def parties_of(body: bytes) -> tuple[str, str]:
    """Whom the message of a receipt went to, and from which sender; empty where it does not say. Raises Unreadable."""
    payload = _within(_event(body), "payload")
    to, sender = _first(payload, "to").get("phone_number"), _within(payload, "from").get("phone_number")
    return str(to or ""), str(sender or "")


def inbound_of(body: bytes) -> Inbound:
    """What a person sent. Raises Unreadable."""
    payload = _within(_event(body), "payload")
    number, sender = _within(payload, "from").get("phone_number"), _first(payload, "to").get("phone_number")
    id_, text = payload.get("id"), payload.get("text")
    if not all(map(is_id, (id_, number, sender))):
        raise Unreadable("The message's id, from or to is missing or absurd.")
    words = text if isinstance(text, str) else ""
    return Inbound(str(id_), str(number), str(sender), words, sent_at=_time(payload.get("received_at")))


def _event(body: bytes) -> dict[str, Any]:
    event = _within(_object(body), "data")
    if not event:
        raise Unreadable("The body is no event.")
    return event


def _proven(id_: str, status: str, code: str | None) -> Receipt | None:
    if status in TAKEN:
        return Accepted(id_)
    if status in ARRIVED:
        return Delivered(id_, code)
    if status in LOST:
        return NotDelivered(id_, code, reason_of(code, TELNYX))
    return None  # delivery_unconfirmed among them: the carrier does not know either


def _time(given: object) -> datetime | None:
    """What is no time, or of no place or no age of ours, is none."""
    try:
        at = datetime.fromisoformat(given if isinstance(given, str) else "")
    except ValueError:
        return None
    return at.astimezone(UTC) if at.tzinfo is not None and 2000 < at.year < 9999 else None


def _code(fields: dict[str, Any]) -> str | None:
    code = _first(fields, "errors").get("code")
    given = str(code) if isinstance(code, str | int) else ""
    return given if given.isalnum() and given.isascii() and len(given) <= LONGEST_ID else None


def _first(fields: dict[str, Any], name: str) -> dict[str, Any]:
    found = fields.get(name)
    first = found[0] if isinstance(found, list) and found else {}
    return first if isinstance(first, dict) else {}


def _within(fields: dict[str, Any], name: str) -> dict[str, Any]:
    found = fields.get(name)
    return found if isinstance(found, dict) else {}


def _object(body: bytes) -> dict[str, Any]:
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return fields if isinstance(fields, dict) else {}
