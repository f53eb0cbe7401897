"""Where a recipient's events lie in the log, packed into its row; and the events as facts for people."""

import struct
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from kernel.opening import opened
from kernel.seal import Key

from projections.progress import State
from projections.report import words
from schemas import events as e
from schemas.events import Event

# An event's place: its id (16 bytes), then topic, partition, offset. Append only: the index is what is stored.
TOPIC_CODES = (
    "campaigns", "recipients", "processed", "clock", "releases", "dispatches", "receipts", "opt-outs", "access",
)  # fmt: skip
_CODE_OF = {topic: code for code, topic in enumerate(TOPIC_CODES)}
_PLACE = struct.Struct(">BHQ")
ID_BYTES = 16
ENTRY_BYTES = ID_BYTES + _PLACE.size


class Place(NamedTuple):
    """One event in the log."""

    event_id: str
    topic: str
    partition: int
    offset: int


def pack(event_id: str, topic: str, partition: int, offset: int) -> bytes:
    """27 bytes that sort by event id, then by place."""
    return bytes.fromhex(event_id.replace("-", "")) + _PLACE.pack(_CODE_OF[topic], partition, offset)


def unpack(history: bytes) -> Iterator[Place]:
    """The places in a history, or in a single entry."""
    for at in range(0, len(history), ENTRY_BYTES):
        code, partition, offset = _PLACE.unpack_from(history, at + ID_BYTES)
        yield Place(str(UUID(bytes=history[at : at + ID_BYTES])), TOPIC_CODES[code], partition, offset)


def merge(history: bytes, entries: Iterable[bytes]) -> bytes:
    """The history with these entries: one per event id, its first place, sorted whatever the order of arrival."""
    first = {history[at : at + ID_BYTES]: history[at : at + ENTRY_BYTES] for at in range(0, len(history), ENTRY_BYTES)}
    for entry in entries:
        known = first.get(entry[:ID_BYTES])
        if known is None or entry < known:
            first[entry[:ID_BYTES]] = entry
    return b"".join(sorted(first.values()))


def count(history: bytes) -> int:
    """How many events a history tells of."""
    return len(history) // ENTRY_BYTES


# --- for people ------------------------------------------------------------------------------------------

# What can only follow what stands before it, where two facts carry the same time.
_ORDER: tuple[tuple[type[Event], ...], ...] = (
    (e.CampaignCreated,),
    (e.RecipientAdded,),
    (e.RecipientProcessed,),
    (e.CampaignEnded,),
    (e.MessageReleased, e.MessageDropped),
    (e.MessageSuppressed, e.SendAttempted),
    (e.MessageUnresolved,),
    (e.SendNotAccepted, e.MessageAccepted, e.MessageRejected),
    (e.MessageUnconfirmed,),
    (e.MessageNotDelivered,),
    (e.MessageDelivered,),
    (e.PersonOptedOut, e.PersonOptedIn),
    (e.PersonErased,),
)
_RANK = {event: rank for rank, events in enumerate(_ORDER) for event in events}
_SAID_FIRST = ("event_id", "event", "occurred_at", "actor", "caused_by")
_ASKED_FOR = {"account_id", "campaign_id", "recipient_id", "person_id"}
_STATE_OF = {
    e.MessageDropped: State.DROPPED,
    e.MessageSuppressed: State.SUPPRESSED,
    e.SendNotAccepted: State.WAITING,
    e.MessageRejected: State.FAILED,
    e.MessageUnresolved: State.UNKNOWN,
    e.MessageNotDelivered: State.FAILED,
    e.MessageUnconfirmed: State.UNCONFIRMED,
}


def facts(events: Iterable[Event], keys: Mapping[str, Key]) -> list[dict[str, Any]]:
    """The events in the order they happened, each once, opened with the keys of persons and campaigns."""
    once = {event.event_id: event for event in events}
    ordered = sorted(once.values(), key=lambda event: (event.occurred_at, _RANK[type(event)], event.event_id))
    return [_fact(event, keys) for event in ordered]


def _fact(event: Event, keys: Mapping[str, Key]) -> dict[str, Any]:
    said = {name: value for name, value in opened(event, keys).items() if name not in _ASKED_FOR}
    if isinstance(event, e.RecipientAdded):
        said["columns"] = _cells(event, said.pop("cells"))
    said["event"] = type(event).__name__
    state = _STATE_OF.get(type(event))
    if state:
        code = str(said.pop("reason"))
        why = words(state, code)
        said |= {"reason_code": code, "reason": why.reason, "advice": why.advice}
    return {name: said.pop(name) for name in _SAID_FIRST} | said


def _cells(event: e.RecipientAdded, opened_cells: str | None) -> dict[str, str] | None:
    """The list's row; None for who was erased. Before cells were sealed they stood in `columns`."""
    if not event.cells:
        return event.columns
    return dict(zip(event.columns, orjson.loads(opened_cells), strict=True)) if opened_cells is not None else None
