"""The files: the ledger, the receipts promised beside it, and which promises were kept. Every line is durable
before anyone hears of it.

    ledger.jsonl     one line per send request read: exactly what `GET /simulator/ledger` answers
    promises.jsonl   one line per accepted message: where its receipts go, and which
    kept.u64         8 bytes per promise whose receipts were all answered: its place in promises.jsonl

A promise is written before its ledger line; one without that line (a kill in between) does not count.
A message id holds the places of its two lines, so a million messages need no index in memory.
"""

import asyncio
import fcntl
import os
import secrets
from array import array
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from .receipts import Receipt
from .records import (
    Entry,
    Promise,
    awaiting_receipts,
    ledger_line,
    message_id_at,
    places,
    promise_line,
    promise_of,
)

BLOCK = 1 << 20
LONGEST_LINE = 1 << 16
"""Of an accepted message: a text of 1,600 characters is at most 9.6 kB of JSON, a callback URL 4 kB."""
GATHER_S = 0.002
"""How long a commit waits for company: two thread switches and two syncs cost as much CPU as several requests,
and at 2,000 requests/s four or more share them."""


class FolderInUse(Exception):
    """Another simulator keeps its ledger in this folder."""


@dataclass(slots=True)
class Group:
    """What one commit makes durable together."""

    ledger: list[bytes] = field(default_factory=list)
    promises: list[bytes] = field(default_factory=list)
    durable: asyncio.Event = field(default_factory=asyncio.Event)


class Store:
    """Opened once per folder. `commit_for_ever` has to run; if it fails the program must end, as nothing
    that cannot be written down may be answered."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._ledger = _open(folder / "ledger.jsonl")
        try:
            fcntl.flock(self._ledger, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FolderInUse(f"another simulator keeps its ledger in {folder}") from None
        self._promises = _open(folder / "promises.jsonl")
        self._kept = _open(folder / "kept.u64")
        self._ledger_end = _cut_torn_line(self._ledger)
        self._promises_end = _cut_torn_line(self._promises)
        os.truncate(self._kept, os.fstat(self._kept).st_size // 8 * 8)
        _sync_folder(folder)
        self._durable_end = self._ledger_end
        self._run = secrets.token_hex(6)
        self._group = Group()
        self._waiting = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="commit")

    @property
    def durable_end(self) -> int:
        return self._durable_end

    async def write(
        self, entry: Entry, callback: str | None, receipts: tuple[Receipt, ...], provider: str = "twilio",
        replayed: str | None = None,
    ) -> str | None:  # fmt: skip
        """Durable when it returns; the message's id if the carrier took it. `replayed` is the id of a message that was
        taken before, and is answered once more."""
        message_id = self._new_message_id() if entry.accepted else None
        group = self._group
        if message_id is not None:
            self._promises_end += _put(group.promises, promise_line(message_id, callback, receipts, provider))
        self._ledger_end += _put(group.ledger, ledger_line(entry, message_id or replayed))
        self._waiting.set()
        await group.durable.wait()
        return message_id

    async def commit_for_ever(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._waiting.wait()
            await asyncio.sleep(GATHER_S)
            self._waiting.clear()
            group, self._group = self._group, Group()
            end = self._ledger_end
            await loop.run_in_executor(self._thread, self._commit, group)
            self._durable_end = end
            group.durable.set()

    def keep(self, message_id: str) -> None:
        """Its receipts were all answered. Not synced: losing this repeats receipts, which is allowed."""
        os.write(self._kept, array("Q", [places(message_id)[1]]).tobytes())

    def find(self, message_id: str) -> tuple[dict[str, str], Promise] | None:
        """The ledger's line of an accepted message and its promise."""
        try:
            ledger_at, promise_at = places(message_id)
        except ValueError:
            return None
        if ledger_at >= self._durable_end:
            return None
        entry = _line_at(self._ledger, ledger_at)
        if entry is None or entry.get("message_id") != message_id:
            return None
        promise = _line_at(self._promises, promise_at)
        return None if promise is None else (entry, promise_of(entry, promise))

    def newest(self, to: str | None, sender: str | None, most: int) -> list[dict[str, str]]:
        """Accepted messages, the newest first. Reads the file from its end: call it in a thread."""
        needle = b'"to":' + orjson.dumps(to) if to else b'"accepted":true'
        found: list[dict[str, str]] = []
        for line in _lines_backwards(self._ledger, self._durable_end):
            if len(found) == most:
                break
            if needle in line:
                entry = orjson.loads(line)
                if entry["accepted"] and to in (None, entry["to"]) and sender in (None, entry["from"]):
                    found.append(entry)
        return found

    def keyed(self) -> Iterator[tuple[dict[str, str], Promise]]:
        """Messages of earlier runs that were answered with success under an idempotency key, the oldest first."""
        with os.fdopen(os.dup(self._ledger), "rb") as lines:
            lines.seek(0)
            for line in lines:
                if b'"idempotency_key":null' in line:
                    continue
                entry = orjson.loads(line)
                if entry["accepted"] and entry["status"] < 300 and (found := self.find(entry["message_id"])):
                    yield found

    def owed(self) -> Iterator[Promise]:
        """Promises of earlier runs that were not kept, as far as anyone knows."""
        kept = array("Q")
        kept.frombytes(os.pread(self._kept, os.fstat(self._kept).st_size, 0))
        done = set(kept)
        at = 0
        with os.fdopen(os.dup(self._promises), "rb") as lines:
            lines.seek(0)
            for line in lines:
                if at not in done and (message_id := awaiting_receipts(line)) and (found := self.find(message_id)):
                    yield found[1]
                at += len(line)

    def read_ledger(self, at: int, end: int) -> bytes:
        return os.pread(self._ledger, min(BLOCK, end - at), at)

    def close(self) -> None:
        """Whoever still waited for a commit is not answered."""
        self._thread.shutdown()
        for file in (self._ledger, self._promises, self._kept):
            os.close(file)

    def _new_message_id(self) -> str:
        return message_id_at(self._ledger_end, self._promises_end, self._run)

    def _commit(self, group: Group) -> None:
        if group.promises:
            _write_all(self._promises, b"".join(group.promises))
            os.fdatasync(self._promises)
        _write_all(self._ledger, b"".join(group.ledger))
        os.fdatasync(self._ledger)


def _put(lines: list[bytes], line: bytes) -> int:
    lines.append(line)
    return len(line)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)


def _cut_torn_line(file: int) -> int:
    """The length that is left: a kill in the middle of a write leaves a last line without its end."""
    size = end = os.fstat(file).st_size
    while end:
        start = max(0, end - BLOCK)
        if newline := os.pread(file, end - start, start).rfind(b"\n") + 1:
            end = start + newline
            break
        end = start
    if end < size:
        os.truncate(file, end)
    return end


def _write_all(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]


def _line_at(file: int, at: int) -> dict[str, str] | None:
    line = os.pread(file, LONGEST_LINE, at).partition(b"\n")[0]
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def _lines_backwards(file: int, end: int) -> Iterator[bytes]:
    rest = b""
    while end:
        start = max(0, end - BLOCK)
        first, *lines = (os.pread(file, end - start, start) + rest).split(b"\n")
        yield from reversed(lines)
        rest, end = first, start
    yield rest
