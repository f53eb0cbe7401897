"""Twilio's words: the bytes of a POST, what its answers say, and what its status callbacks prove. It knows no keys."""

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from urllib.parse import urlencode

import orjson

from dispatcher.look_up import SECOND, Asked, Listed
from dispatcher.outcome import LONGEST_ID, Accepted, Answer, code_or_status, is_id, said
from dispatcher.provider import Inbound, Text, Unreadable
from dispatcher.reasons import reason_of
from dispatcher.receipt import Delivered, NotDelivered, Receipt

API_VERSION = "2010-04-01"
TAKEN = frozenset({"accepted", "scheduled", "queued", "sending", "sent"})
ARRIVED = frozenset({"delivered", "read"})
LOST = frozenset({"undelivered", "failed", "canceled"})


def request(text: Text) -> bytes:
    """The form of a POST to `Messages.json`."""
    fields = {"To": text.to, "From": text.sender, "Body": text.body}
    if text.status_callback:
        fields["StatusCallback"] = text.status_callback
    return urlencode(fields).encode()


def answer(status: int, body: bytes, retry_after_s: float | None = None) -> Answer:
    """What an answer says. Whatever cannot be read proves no more than its status."""
    fields = _fields(body)
    sid, code, segments = fields.get("sid"), _code(fields), fields.get("num_segments")
    row = said(status, has_id=is_id(sid))
    counted = isinstance(segments, str) and segments.isascii() and segments.isdigit() and len(segments) < 4
    return Answer(
        row,
        carrier_message_id=str(sid) if is_id(sid) else None,
        carrier_code=code_or_status(row, code, status),
        reason=reason_of(code),
        segments=int(str(segments)) if counted else None,
        retry_after_s=retry_after_s,
    )


def receipt_of(form: Mapping[str, str]) -> tuple[str, Receipt | None]:
    """The message's id, and what the callback proves; None for a status we do not know. Raises Unreadable."""
    sid, status = form.get("MessageSid", ""), form.get("MessageStatus", "").lower()
    if not is_id(sid) or not status:
        raise Unreadable("MessageSid or MessageStatus is missing or absurd.")
    given = form.get("ErrorCode", "")
    code = given if given.isalnum() and given.isascii() and len(given) <= LONGEST_ID else None
    return sid, proven(sid, status, code)


def proven(sid: str, status: str, code: str | None) -> Receipt | None:
    """What a message's status proves, in a callback or in the carrier's list."""
    if status in TAKEN:
        return Accepted(sid)
    if status in ARRIVED:
        return Delivered(sid, code)
    if status in LOST:
        return NotDelivered(sid, code, reason_of(code))
    return None


def inbound_of(form: Mapping[str, str]) -> Inbound:
    """What a person sent. Raises Unreadable."""
    sid, number, sender = (form.get(field, "").strip() for field in ("MessageSid", "From", "To"))
    if not all(map(is_id, (sid, number, sender))):
        raise Unreadable("MessageSid, From or To is missing or absurd.")
    return Inbound(sid, number, sender, form.get("Body", ""), form.get("OptOutType", ""))


def _code(fields: dict[str, object]) -> str | None:
    code = fields.get("code")
    return str(code) if isinstance(code, int) else None


def _fields(body: bytes) -> dict[str, object]:
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return fields if isinstance(fields, dict) else {}


def list_query(asked: Asked) -> dict[str, str]:
    """The query of the list that the message would be in. `DateSent>` means: on that day or later."""
    day = (asked.attempted_at - SECOND).date()
    return {"To": asked.to, "From": asked.sender, "DateSent>": day.isoformat(), "PageSize": "1000"}


def listed(body: bytes) -> list[Listed] | None:
    """The messages of a list; None when it cannot be read or is not whole."""
    fields = _fields(body)
    messages = fields.get("messages")
    if not isinstance(messages, list) or fields.get("next_page_uri"):
        return None
    try:
        return [_listed(message) for message in messages]
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def _listed(message: dict[str, object]) -> Listed:
    names = ("sid", "to", "from", "body", "date_created", "status")
    sid, to, sender, body, created, status = (str(message[name]) for name in names)
    code = message.get("error_code")
    at = parsedate_to_datetime(created)
    if at.tzinfo is None or not is_id(sid):
        raise ValueError("a message without a time or an id")
    return Listed(sid, to, sender, body, at, status, str(code) if isinstance(code, int) else None)
