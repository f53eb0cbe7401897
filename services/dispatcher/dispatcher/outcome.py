"""What was seen of a POST, and what that proves: the table of design.md section 3, the one place that decides it.

A provider only says which row it is (`said` for those that speak HTTP); the columns are whether the POST carried an
idempotency key, and if it did, whether the same bytes had been POSTed before.
"""

from dataclasses import dataclass
from enum import Enum, StrEnum, auto

from schemas.reasons import FailureReason, NotAcceptedReason, UnresolvedReason

LONGEST_ID = 64
NAMELESS = "unknown"  # the id of what an operator found to be accepted, and could not name


class NoAnswer(StrEnum):
    """A POST that was not answered, by what is known about its bytes."""

    NOTHING_WRITTEN = "nothing_written"
    TIMEOUT = "timeout"
    CONNECTION_LOST = "connection_lost"
    PROCESS_KILLED = "process_killed"
    EXPIRED = "expired"


class Said(StrEnum):
    """An answer, by what it says about the message."""

    TAKEN = "taken"
    TAKEN_UNREADABLY = "taken_unreadably"  # 2xx, and no id in it
    THROTTLED = "throttled"  # 429: never processed
    NOT_ADMITTED = "not_admitted"  # 401, 403: it was not looked at, nor was its key
    REFUSED = "refused"  # the other 4xx
    OTHER_BYTES = "other_bytes"  # 422 of a keyed carrier: the key was used, perhaps with another body
    IN_DOUBT = "in_doubt"  # 408, 409, 425: a 4xx that may come after the message was taken
    BROKEN = "broken"  # 5xx, and whatever proves nothing: 1xx, 3xx, nonsense


@dataclass(frozen=True, slots=True)
class Answer:
    """What the carrier answered, in our words; `retry_after_s` is what it asked for, `carrier_code` its own code."""

    said: Said
    carrier_message_id: str | None = None
    carrier_code: str | None = None
    reason: FailureReason = FailureReason.UNKNOWN
    segments: int | None = None
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


@dataclass(frozen=True, slots=True)
class Again:
    """As unknown, but the key makes it safe to ask once more: the attempt stays open, with `doubt` as its reason.

    `refusal` is what this one POST would have proved by itself, had it been the first: it says how hard to press.
    """

    doubt: Unknown
    refusal: NotAccepted | None = None


Outcome = Accepted | Rejected | NotAccepted | Unknown
Result = Outcome | Again


class Key(Enum):
    """The columns: a POST without an idempotency key, the first with one, and one with the same key and bytes again."""

    NONE = auto()
    FIRST = auto()
    REPEATED = auto()


class _Proves(Enum):
    ACCEPTED = auto()
    REJECTED = auto()
    NOT_ACCEPTED = auto()
    UNKNOWN = auto()
    AGAIN = auto()


A, R, N, U, G = _Proves.ACCEPTED, _Proves.REJECTED, _Proves.NOT_ACCEPTED, _Proves.UNKNOWN, _Proves.AGAIN
# A repeat that did not reach the carrier, or that it did not look at, says nothing about the POSTs before it.
TABLE: dict[NoAnswer | Said, tuple[_Proves, _Proves, _Proves]] = {
    #                          no key, first, repeated
    NoAnswer.NOTHING_WRITTEN: (N, N, G),
    NoAnswer.EXPIRED: (N, N, G),
    NoAnswer.TIMEOUT: (U, G, G),
    NoAnswer.CONNECTION_LOST: (U, G, G),
    NoAnswer.PROCESS_KILLED: (U, G, G),
    Said.TAKEN: (A, A, A),
    Said.TAKEN_UNREADABLY: (U, G, G),
    Said.THROTTLED: (N, N, G),
    Said.NOT_ADMITTED: (R, R, G),
    Said.REFUSED: (R, R, R),  # had an earlier one been taken, its success would have been replayed
    Said.OTHER_BYTES: (R, R, U),
    Said.IN_DOUBT: (U, G, G),
    Said.BROKEN: (U, U, U),  # failures are not replayed: asking once more might send a second text
}
NOT_TAKEN: dict[NoAnswer | Said, NotAcceptedReason] = {
    NoAnswer.NOTHING_WRITTEN: NotAcceptedReason.COULD_NOT_CONNECT,
    NoAnswer.EXPIRED: NotAcceptedReason.INTENT_EXPIRED,
    Said.THROTTLED: NotAcceptedReason.THROTTLED,
}
IN_DOUBT: dict[NoAnswer | Said, UnresolvedReason] = {
    NoAnswer.TIMEOUT: UnresolvedReason.TIMEOUT,
    NoAnswer.CONNECTION_LOST: UnresolvedReason.CONNECTION_LOST,
    NoAnswer.NOTHING_WRITTEN: UnresolvedReason.CONNECTION_LOST,
    NoAnswer.PROCESS_KILLED: UnresolvedReason.PROCESS_KILLED,
    NoAnswer.EXPIRED: UnresolvedReason.TIMEOUT,
    Said.TAKEN_UNREADABLY: UnresolvedReason.UNREADABLE_ANSWER,
}


def classify(seen: Seen, key: Key = Key.NONE) -> Result:
    """What the sight proves; `Again` only with a key."""
    row = seen if isinstance(seen, NoAnswer) else seen.said
    answer = Answer(Said.BROKEN) if isinstance(seen, NoAnswer) else seen
    match TABLE[row][(Key.NONE, Key.FIRST, Key.REPEATED).index(key)]:
        case _Proves.ACCEPTED:
            return Accepted(answer.carrier_message_id or "", answer.segments)
        case _Proves.REJECTED:
            return Rejected(answer.reason, answer.carrier_code)
        case _Proves.NOT_ACCEPTED:
            return _refusal(row, answer)
        case _Proves.UNKNOWN:
            return _doubt(row, answer)
        case _Proves.AGAIN:
            return Again(_doubt(row, answer), _refusal(row, answer) if row in NOT_TAKEN else None)


def _refusal(row: NoAnswer | Said, answer: Answer) -> NotAccepted:
    return NotAccepted(NOT_TAKEN[row], answer.carrier_code, answer.retry_after_s)


def _doubt(row: NoAnswer | Said, answer: Answer) -> Unknown:
    return Unknown(IN_DOUBT.get(row, UnresolvedReason.CARRIER_ERROR), answer.carrier_code)


def said(status: int, *, has_id: bool, keyed: bool = False) -> Said:
    """Which row an HTTP answer is."""
    if 200 <= status < 300:
        return Said.TAKEN if has_id else Said.TAKEN_UNREADABLY
    match status:
        case 429:
            return Said.THROTTLED
        case 401 | 403:
            return Said.NOT_ADMITTED
        case 408 | 409 | 425:
            return Said.IN_DOUBT
        case 422 if keyed:
            return Said.OTHER_BYTES
    return Said.REFUSED if 400 <= status < 500 else Said.BROKEN


def is_id(value: object) -> bool:
    """Whether it can be a carrier's id of a message."""
    return isinstance(value, str) and 0 < len(value) <= LONGEST_ID and value.isprintable()


def code_or_status(row: Said, code: str | None, status: int) -> str | None:
    """The carrier's code; where an answer proves nothing, its status says more than nothing."""
    return code or (str(status) if row in (Said.IN_DOUBT, Said.BROKEN) else None)
