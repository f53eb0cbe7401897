"""Events on their way out: encoded in the transaction of their cause, one packed row per topic and batch."""

import struct
from collections.abc import Iterable, Iterator

from kernel.database import Connection
from schemas.codec import encode, key_of
from schemas.events import Event
from schemas.topics import TOPIC_OF

_FRAME = struct.Struct(">HI")  # length of the key (0: none), length of the value


def pack(records: Iterable[tuple[bytes | None, bytes]]) -> bytes:
    """(key, value) pairs as one blob, in order."""
    return b"".join(_FRAME.pack(len(key or b""), len(value)) + (key or b"") + value for key, value in records)


def unpack(blob: bytes) -> Iterator[tuple[bytes | None, bytes]]:
    """The (key, value) pairs of a blob, in order."""
    at, end = 0, len(blob)
    while at < end:
        key_length, value_length = _FRAME.unpack_from(blob, at)
        at += _FRAME.size
        key = blob[at : at + key_length] or None
        at += key_length
        yield key, blob[at : at + value_length]
        at += value_length


class Outbox:
    """Collects the events of one transaction. Encodes at once: an event that does not fit fails its own cause."""

    def __init__(self) -> None:
        self._records: dict[str, list[tuple[bytes | None, bytes]]] = {}

    def add(self, event: Event) -> None:
        topic = TOPIC_OF[type(event)].name
        self._records.setdefault(topic, []).append((key_of(event), encode(event)))

    def extend(self, events: Iterable[Event]) -> None:
        for event in events:
            self.add(event)

    def __bool__(self) -> bool:
        return bool(self._records)

    async def write(self, connection: Connection) -> None:
        """Adds one row per topic, in the caller's transaction; the collector is empty afterwards."""
        records, self._records = self._records, {}
        for topic, pairs in records.items():
            await connection.execute("INSERT INTO outbox (topic, events) VALUES ($1, $2)", topic, pack(pairs))
