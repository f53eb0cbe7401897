"""A record of the log as bytes that can be read in one way only, and as a line of JSON that holds all of it."""

import struct
from base64 import b64decode, b64encode
from typing import Any, NamedTuple

import orjson

from handsent.audit.merkle import HASH_BYTES, leaf

Position = tuple[str, int]
_NONE = b"\xff\xff\xff\xff"  # the length of what is not there, which is not what is empty
_HEAD = struct.Struct(">Qq")
_LENGTH = struct.Struct(">I")


class BadLine(ValueError):
    """The line is no record."""


class Record(NamedTuple):
    """A record as it lies in Kafka. `withheld` is its leaf where the value may not be shown; then `value` is None."""

    topic: str
    partition: int
    offset: int
    timestamp: int  # milliseconds since 1970
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    withheld: bytes | None = None

    @property
    def position(self) -> Position:
        return self.topic, self.partition

    @property
    def place(self) -> str:
        return f"{self.topic}-{self.partition}@{self.offset}"

    def leaf(self) -> bytes:
        """The record's leaf in its block's tree."""
        return self.withheld or leaf_of(self.offset, self.timestamp, self.key, self.value, self.headers)


def leaf_of(offset: int, timestamp: int, key: bytes | None, value: bytes | None, headers: Any) -> bytes:
    """SHA-256 over 0x00 and the frame."""
    return leaf(frame(offset, timestamp, key, value, headers))


def frame(offset: int, timestamp: int, key: bytes | None, value: bytes | None, headers: Any) -> bytes:
    """Offset and timestamp in 8 bytes each; then key and value, the number of headers, and each one's name and value.

    Everything of any length stands behind it in 4 bytes. All numbers are big-endian.
    """
    framed = _HEAD.pack(offset, timestamp) + _field(key) + _field(value) + _LENGTH.pack(len(headers))
    for name, said in headers:
        framed += _field(name.encode()) + _field(said)
    return framed


def _field(said: bytes | None) -> bytes:
    return _NONE if said is None else _LENGTH.pack(len(said)) + said


def as_line(record: Record) -> bytes:
    """One line of JSON; bytes are base64."""
    said: dict[str, Any] = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": record.timestamp,
        "key": _text(record.key),
        "headers": [[name, _text(value)] for name, value in record.headers],
    }
    said |= {"value": _text(record.value)} if record.withheld is None else {"leaf": record.withheld.hex()}
    return orjson.dumps(said, option=orjson.OPT_APPEND_NEWLINE)


def from_line(line: bytes | str) -> Record:
    """The record of a line. Raises BadLine."""
    try:
        said = orjson.loads(line)
        withheld = bytes.fromhex(said["leaf"]) if "leaf" in said else None
        record = Record(
            said["topic"],
            said["partition"],
            said["offset"],
            said["timestamp"],
            _bytes(said["key"]),
            None if withheld else _bytes(said["value"]),
            tuple((name, _bytes(value)) for name, value in said["headers"]),
            withheld,
        )
        numbers = (record.partition, record.offset, record.timestamp)
        names = (record.topic, *(name for name, _ in record.headers))
        if withheld is not None and len(withheld) != HASH_BYTES:
            raise ValueError
        if not all(type(n) is int for n in numbers) or not all(type(name) is str for name in names):
            raise ValueError
        record.leaf()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, struct.error):
        raise BadLine("is no record") from None
    return record


def _text(said: bytes | None) -> str | None:
    return None if said is None else b64encode(said).decode()


def _bytes(said: str | None) -> bytes | None:
    return None if said is None else b64decode(said, validate=True)
