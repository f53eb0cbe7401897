"""Records of the log as CSV: a column for whatever any event of the topics says, safe for a spreadsheet to open."""

import csv
import io
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

from projections.report import guarded

from handsent import log_view
from handsent.log_view import Seen
from schemas.topics import TOPICS

PLACE = ("topic", "partition", "offset", "appended_at", "key", "type")
NUMBERS = {"number", "sender"}  # E.164 begins with a plus, and people paste it elsewhere
E164 = re.compile(r"\+[1-9]\d{1,14}")


class Sheet:
    """Lines of CSV for the events of some topics."""

    def __init__(self, topics: Sequence[str]) -> None:
        events = [event for topic in topics for event in TOPICS[topic].events]
        said = dict.fromkeys(field.name for event in events for field in fields(event))
        self._columns = list(said)

    def header(self) -> bytes:
        return _lines([[*PLACE, *self._columns, "error"]])

    def lines(self, records: Iterable[Seen], pii: bool) -> bytes:
        return _lines(self._cells(record, pii) for record in records)

    def _cells(self, record: Seen, pii: bool) -> list[str]:
        place = (getattr(record, name) for name in PLACE)
        said = {} if record.event is None else log_view.fields(record, pii)
        return [*map(_cell, place), *(_said(name, said.get(name)) for name in self._columns), _cell(record.error)]


def _said(name: str, value: Any) -> str:
    return value if name in NUMBERS and isinstance(value, str) and E164.fullmatch(value) else _cell(value)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return guarded(json.dumps(value, ensure_ascii=False) if isinstance(value, dict | tuple) else str(value))


def _lines(rows: Iterable[Sequence[str]]) -> bytes:
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue().encode(errors="backslashreplace")
