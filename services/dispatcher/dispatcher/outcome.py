"""What was seen of a POST, and what that proves: the table of design.md section 3, for a carrier without keys."""

from dataclasses import dataclass
from enum import StrEnum

import orjson

from dispatcher.reasons import reason_of
from schemas.reasons import FailureReason, NotAcceptedReason, UnresolvedReason

LONGEST_ID = 64


class NoAnswer(StrEnum):
    """A POST that was not answered, by what is known about its bytes."""

    NOTHING_WRITTEN = "nothing_written"
    TIMEOUT = "timeout"
    CONNECTION_LOST = "connection_lost"
    PROCESS_KILLED = "process_killed"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the carrier answered; `retry_after_s` is its Retry-After."""

    status: int
    body: bytes
    retry_after_s: float | None = None


Seen = Answer | NoAnswer


@dataclass(frozen=True, slots=True)
class Accepted:
    """The carrier took it."""

    carrier_message_id: str
    segments: int | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """The carrier refused it for good."""

    reason: FailureReason
    carrier_code: str | None


@dataclass(frozen=True, slots=True)
class NotAccepted:
    """The carrier is known not to have taken it: the message waits again."""

    reason: NotAcceptedReason
    carrier_code: str | None = None
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """Bytes may have left and nobody knows the rest: never sent again by the machine."""

    reason: UnresolvedReason
    carrier_code: str | None = None


Outcome = Accepted | Rejected | NotAccepted | Unknown

UNANSWERED: dict[NoAnswer, Outcome] = {
    NoAnswer.NOTHING_WRITTEN: NotAccepted(NotAcceptedReason.COULD_NOT_CONNECT),
    NoAnswer.EXPIRED: NotAccepted(NotAcceptedReason.INTENT_EXPIRED),
    NoAnswer.TIMEOUT: Unknown(UnresolvedReason.TIMEOUT),
    NoAnswer.CONNECTION_LOST: Unknown(UnresolvedReason.CONNECTION_LOST),
    NoAnswer.PROCESS_KILLED: Unknown(UnresolvedReason.PROCESS_KILLED),
}
THROTTLED = 429
AMBIGUOUS = frozenset({408, 409, 425})  # a 4xx that may come after the message was taken


def classify(seen: Seen) -> Outcome:
    """What the sight proves. Whatever is not listed (1xx, 3xx, 5xx, nonsense) proves nothing."""
    if isinstance(seen, NoAnswer):
        return UNANSWERED[seen]
    fields = _fields(seen.body)
    code = _code(fields)
    if 200 <= seen.status < 300:
        return _taken(fields)
    if seen.status == THROTTLED:
        return NotAccepted(NotAcceptedReason.THROTTLED, code, seen.retry_after_s)
    if 400 <= seen.status < 500 and seen.status not in AMBIGUOUS:
        return Rejected(reason_of(code), code)
    return Unknown(UnresolvedReason.CARRIER_ERROR, code or str(seen.status))


def _taken(fields: dict[str, object]) -> Accepted | Unknown:
    sid, segments = fields.get("sid"), fields.get("num_segments")
    if not isinstance(sid, str) or not 0 < len(sid) <= LONGEST_ID or not sid.isprintable():
        return Unknown(UnresolvedReason.UNREADABLE_ANSWER)
    counted = isinstance(segments, str) and segments.isascii() and segments.isdigit() and len(segments) < 4
    return Accepted(sid, int(str(segments)) if counted else None)


def _code(fields: dict[str, object]) -> str | None:
    code = fields.get("code")
    return str(code) if isinstance(code, int) else None


def _fields(body: bytes) -> dict[str, object]:
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return fields if isinstance(fields, dict) else {}
