"""The records of one campaign on disk, so that a campaign of any size needs the same memory."""

import marshal
import sqlite3
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from handsent.audit.framing import Record
from schemas.codec import UndecodableEvent, decode, leading_ids
from schemas.events import Event

OF_PERSONS = "opt-outs"
OF_CAMPAIGN = "campaigns"
TOPICS = (OF_CAMPAIGN, "recipients", "processed", "releases", "dispatches", "receipts", OF_PERSONS)  # in this order
PAGE = 1000
_MAKE = """
CREATE TABLE record (seq INTEGER PRIMARY KEY, recipient BLOB, topic TEXT, partition INT, offset INT, timestamp INT,
                     key BLOB, value BLOB, headers BLOB, leaf BLOB);
CREATE TABLE person (person_id TEXT PRIMARY KEY) WITHOUT ROWID;
"""
_PUT = (
    "INSERT INTO record (recipient, topic, partition, offset, timestamp, key, value, headers) VALUES (?,?,?,?,?,?,?,?)"
)


class Desk:
    """Takes records in the order of the log; gives them back in it, or by recipient."""

    def __init__(self, folder: Path, campaign_id: str) -> None:
        """The folder is the caller's, and private; it is thrown away with what lies in it."""
        self.campaign_id = campaign_id
        self._db = sqlite3.connect(folder / "desk", isolation_level=None)
        # Nothing here outlives the command: no journal, no fsync; what is sorted goes to the same folder.
        self._db.executescript(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -16000;"
            f"PRAGMA temp_store = FILE;{_MAKE}BEGIN"
        )

    def close(self) -> None:
        self._db.close()

    def wants(self, topic: str, value: bytes | None) -> bool:
        """Whether the record is the campaign's, or a fact about one of its persons. What cannot be read may be."""
        ids = leading_ids(value, 3)
        if ids is None:
            return True
        return self._knows(ids[2]) if topic == OF_PERSONS else ids[2] == self.campaign_id

    def _knows(self, person_id: str) -> bool:
        return self._db.execute("SELECT 1 FROM person WHERE person_id = ?", (person_id,)).fetchone() is not None

    def put(self, records: Iterable[Record]) -> None:
        """Adds what follows in the log."""
        records = list(records)
        self.meet(records)
        self._db.executemany(
            _PUT, [(_recipient(record), *record[:6], marshal.dumps(record.headers)) for record in records]
        )

    def meet(self, records: Iterable[Record]) -> None:
        """Learns of the persons in these records: what is said of them is the campaign's, too."""
        found = {ids[4] for record in records if (ids := _ids(record))}
        self._db.executemany("INSERT OR IGNORE INTO person VALUES (?)", [(person,) for person in found])

    def records(self) -> Iterator[list[Record]]:
        """All of them, in the order of the log, a page at a time."""
        rows = self._db.execute(
            "SELECT topic, partition, offset, timestamp, key, iif(leaf IS NULL, value, NULL), headers, leaf"
            " FROM record ORDER BY seq"
        )
        while page := rows.fetchmany(PAGE):
            yield [Record._make((*row[:6], marshal.loads(row[6]), row[7])) for row in page]

    def withhold(self, records: Iterable[tuple[int, Record]]) -> None:
        """From now on these (the first of all is number 0) are given without their values: the leaf that is left proves
        that they are in the log. They count as before."""
        rows = [(record.leaf(), number + 1) for number, record in records]
        self._db.executemany("UPDATE record SET leaf = ? WHERE seq = ?", rows)

    def of_campaign(self) -> Iterator[Event]:
        """What happened to the campaign itself."""
        for (value,) in self._db.execute("SELECT value FROM record WHERE topic = ? ORDER BY seq", (OF_CAMPAIGN,)):
            yield from _decoded(value)

    def recipients(self) -> Iterator[list[Any]]:
        """The events of each recipient in the order of the log, by recipient_id."""
        self._db.execute("CREATE INDEX IF NOT EXISTS by_recipient ON record (recipient, seq)")
        rows = self._db.execute(
            "SELECT recipient, value FROM record WHERE recipient IS NOT NULL ORDER BY recipient, seq"
        )
        for _, found in groupby(rows, key=lambda row: row[0]):
            events = [event for _, value in found for event in _decoded(value)]
            if events:
                yield events


def _ids(record: Record) -> tuple[str, ...] | None:
    return None if record.topic in (OF_PERSONS, OF_CAMPAIGN) else leading_ids(record.value, 5)


def _recipient(record: Record) -> bytes | None:
    ids = _ids(record)
    return ids[3].encode() if ids else None


def _decoded(value: bytes | None) -> Iterator[Event]:
    """The event, if it is one: one that cannot be decoded counts nowhere, and the archive says so."""
    try:
        yield decode(value)
    except UndecodableEvent:
        return
