"""The recipient report: its columns, its words, and what a cell may not begin with."""

import csv
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from projections.columns import column_of
from projections.people import Person
from projections.progress import State

COLUMNS = (
    "recipient_id",
    "phone",
    "first_name",
    "last_name",
    "state",
    "delivery",
    "reason_code",
    "reason",
    "advice",
    "processed_at",
    "processed_by",
    "due_at",
    "released_at",
    "sent_at",
    "accepted_at",
    "delivered_at",
    "carrier_code",
    "carrier_message_id",
    "segments",
    "opted_out_at",
)

# A spreadsheet takes a cell that begins so for a formula, and runs it.
RISKY = "=+-@\t\r"


class Words(NamedTuple):
    """What happened, and what one can do about it."""

    reason: str
    advice: str


_CALL = "Try to reach this person in another way."
_REMOVE = "Remove this number from the list."
_OPTED_OUT = "Do not text this person again unless they write START."
_ERASED = "Nothing to do: who it was is not known any more."
_LATER = "Nothing to do: it goes out as soon as it can."
_ANOTHER = "Try again later in another campaign."
_LOOK_UP = "Look it up at the carrier and record what is found; it is never sent again by itself."

WORDS: dict[State, dict[str, tuple[str, str]]] = {
    State.SUPPRESSED: {
        "opted_out": ("The person had opted out, so nothing was sent.", _OPTED_OUT),
        "person_erased": ("The person's data was erased on request, so nothing was sent.", _ERASED),
        "too_late": (
            "Its turn came after the last moment it was useful, so nothing was sent.",
            "Create another campaign if this person should still be texted.",
        ),
        "unknown": ("Nothing was sent, for a reason this version does not know.", _CALL),
    },
    State.DROPPED: {
        "campaign_ended": (
            "The campaign was ended before its scheduled time, so nothing was sent.",
            "Create another campaign if this person should still be texted.",
        ),
        "unknown": ("Nothing was sent, for a reason this version does not know.", _ANOTHER),
    },
    State.WAITING: {
        "could_not_connect": ("The carrier could not be reached; the message waits.", _LATER),
        "throttled": ("The carrier asked us to slow down; the message waits.", _LATER),
        "intent_expired": ("The message did not get its turn in time; it waits again.", _LATER),
        "unknown": ("The carrier did not take the message; it waits again.", _LATER),
    },
    State.FAILED: {
        "opted_out": ("The person has opted out at the carrier.", _OPTED_OUT),
        "invalid_number": ("The carrier says that this is not a valid mobile number.", _REMOVE),
        "landline": ("The number is a landline or cannot receive texts.", _CALL),
        "unreachable": ("The phone was switched off or out of reach.", _ANOTHER),
        "unknown_number": ("The number is not in service.", _REMOVE),
        "blocked_recipient": ("The person, or the phone's network, blocks texts from this sender.", _CALL),
        "filtered": (
            "The carrier took the text for spam.",
            "Reword the text: fewer links, no capitals, say who you are.",
        ),
        "unregistered_sender": (
            "The sender number is not registered for this kind of texting.",
            "Register the sender number at the carrier.",
        ),
        "rate_limited": ("More texts were sent than the carrier allows.", _ANOTHER),
        "account": (
            "The carrier refused our account.",
            "Check the account at the carrier: balance, suspension, permissions.",
        ),
        "region": ("Our account may not text this country.", "Allow the country in the account at the carrier."),
        "content": ("The carrier refused the text itself, for example because it is too long.", "Change the text."),
        "expired": ("The text could not be delivered in time and expired.", _ANOTHER),
        "carrier_outage": ("The carrier had an outage.", _ANOTHER),
        "unknown": (
            "The carrier says it was not delivered and gives no clear reason.",
            "The carrier's own code may tell more.",
        ),
    },
    State.UNCONFIRMED: {
        "no_receipt": ("The carrier took the message and did not say within 72 hours whether it arrived.", _CALL),
        "unknown": ("The carrier took the message and never said whether it arrived.", _CALL),
    },
    State.UNKNOWN: {
        "timeout": ("The carrier did not answer in time: it may have been sent.", _LOOK_UP),
        "connection_lost": ("The connection broke after the message was handed over: it may have been sent.", _LOOK_UP),
        "carrier_error": ("The carrier answered with an error of its own: it may have been sent.", _LOOK_UP),
        "unreadable_answer": ("The carrier's answer could not be read: it may have been sent.", _LOOK_UP),
        "process_killed": ("Our sender was stopped in the middle of it: it may have been sent.", _LOOK_UP),
        "unknown": ("Nobody knows whether the carrier took it.", _LOOK_UP),
    },
}


@lru_cache(maxsize=256)
def words(state: str, reason_code: str | None) -> Words:
    """The words for a reason code in the state it explains."""
    return Words(*WORDS[State(state)][reason_code]) if reason_code else Words("", "")


def guarded(cell: str) -> str:
    """The cell as a spreadsheet may open it."""
    return f"'{cell}" if cell and cell[0] in RISKY else cell


def own_columns(names: Iterable[str]) -> list[str]:
    """The list's columns that the report has not named already."""
    names = list(names)
    named = {column_of("first_name", names), column_of("last_name", names)}
    return [name for name in names if name not in named]


class Line(NamedTuple):
    """What the report says of a recipient beside the person's own: text as it is written, None where there is none."""

    recipient_id: str
    state: str
    delivery: str
    reason_code: str | None
    processed_at: str | None
    processed_by: str | None
    due_at: str | None
    released_at: str | None
    sent_at: str | None
    accepted_at: str | None
    delivered_at: str | None
    carrier_code: str | None
    carrier_message_id: str | None
    segments: str | None
    opted_out_at: str | None


class Sheet:
    """Writes the report's lines; `own` are the list's columns that stand behind ours."""

    def __init__(self, own: Sequence[str]) -> None:
        self._own = own
        self._lines: list[str] = []
        self._writer = csv.writer(self, lineterminator="\r\n")  # so it quotes \r as well as \n

    def write(self, line: str) -> None:
        self._lines.append(line.removesuffix("\r\n"))

    def header(self) -> None:
        self._writer.writerow([*COLUMNS, *map(guarded, self._own)])

    def add(self, line: Line, person: Person) -> None:
        """The phone is the one cell that may begin with a plus: it is E.164, and people paste it elsewhere."""
        why, cells = words(line.state, line.reason_code), person.cells
        first, last = guarded(person.first_name), guarded(person.last_name)
        code, by = guarded(line.carrier_code or ""), guarded(line.processed_by or "")
        message = guarded(line.carrier_message_id or "")
        self._writer.writerow(
            (line.recipient_id, person.phone, first, last, line.state, line.delivery, line.reason_code, *why,
             line.processed_at, by, line.due_at, line.released_at, line.sent_at, line.accepted_at, line.delivered_at,
             code, message, line.segments, line.opted_out_at, *(guarded(cells.get(name, "")) for name in self._own))
        )  # fmt: skip

    def finish(self) -> None:
        """A list of lines has no end of its own."""

    def taken(self) -> bytes:
        """The lines written since the last time, as UTF-8."""
        lines, self._lines = self._lines, []
        return "".join(f"{line}\n" for line in lines).encode()


def file_name(campaign_name: str | None, campaign_id: str, at: datetime, extension: str) -> str:
    """A name every file system takes: letters, digits and hyphens; it says when the report was true."""
    plain = "".join(c if c.isascii() and c.isalnum() else "-" for c in (campaign_name or "")[:60])
    return f"{'-'.join(filter(None, plain.split('-'))) or campaign_id}-recipients-{at:%Y%m%dT%H%M%SZ}.{extension}"
