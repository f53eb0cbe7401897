"""The carrier's own books, read from its files as they grow: who asked for what, and which receipts it will send.

What answers a person's STOP is a text, too, where the provider has no other way: it is told apart by its words.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson

Line = dict[str, Any]

STOPPED = "You will get no more texts from us. Reply START if you want them again."  # STOP_CONFIRMATION, by default


class Books:
    """The simulator's ledger and promises; `GET /simulator/ledger` answers the same bytes, all of them each time."""

    def __init__(self, home: Path) -> None:
        self._ledger, self._promises = home / "simulator" / "ledger.jsonl", home / "simulator" / "promises.jsonl"
        self._at: dict[Path, int] = {}
        self._lines: dict[str, list[Line]] = defaultdict(list)  # by number
        self._answers: dict[str, list[Line]] = defaultdict(list)  # by number
        self._silent: set[str] = set()  # message ids

    def of(self, numbers: Iterable[str]) -> list[Line]:
        """Every send request for a campaign's text to these people."""
        self._read()
        return [line for number in numbers for line in self._lines.get(number, ())]

    def answers(self, numbers: Iterable[str]) -> list[Line]:
        """Every send request that confirms a STOP to these people."""
        self._read()
        return [line for number in numbers for line in self._answers.get(number, ())]

    def silent(self, numbers: Iterable[str]) -> set[str]:
        """Those of whom the carrier took a message and will never say what became of it."""
        return {line["to"] for line in self.of(numbers) if line["message_id"] in self._silent}

    def _read(self) -> None:
        for line in self._new(self._ledger):
            (self._answers if line["body"] == STOPPED else self._lines)[line["to"]].append(line)
        self._silent |= {promise["message_id"] for promise in self._new(self._promises) if not promise["receipts"]}

    def _new(self, file: Path) -> Iterator[Line]:
        with file.open("rb") as opened:
            opened.seek(self._at.get(file, 0))
            whole, _, _ = opened.read().rpartition(b"\n")
        self._at[file] = self._at.get(file, 0) + (len(whole) + 1 if whole else 0)
        return map(orjson.loads, whole.splitlines())
