"""Opt-out lists as CSV: which column is the phone, what each row says, and rows on their way out."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from io import StringIO

from dispatcher.phone import BadPhone, read

PHONE_HEADERS = {"phone", "mobile", "cell", "number", "phonenumber", "mobilenumber", "cellnumber", "mobilephone"}
PHONE_HEADERS |= {"cellphone", "telephone", "tel", "msisdn"}
REASON_HEADERS = frozenset(["reason", "note", "comment"])
EXPORTED = ("phone", "source", "reason", "opted_out_at", "opted_out_by", "reply")
DANGEROUS = ("=", "+", "-", "@", "\t", "\r")


class NoPhoneColumn(ValueError):
    """Neither a header we know nor a first row that begins with a phone number."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A row that names a phone; `line` is where it begins, the first line being 1."""

    line: int
    number: str
    reason: str


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that does not."""

    line: int
    reason: str


@dataclass(slots=True)
class Reader:
    """Reads a list piece by piece; a record does not span lines."""

    region: str
    _line: int = field(default=0)
    _phone: int = field(default=-1)
    _reason: int | None = field(default=None)

    def rows(self, lines: Iterable[str]) -> Iterator[Listed | Reject]:
        """What the next lines say; blank ones say nothing. Raises NoPhoneColumn at the first."""
        for line in lines:
            self._line += 1
            try:
                cells = next(csv.reader([line]), [])
            except csv.Error:  # a return in the middle of a line, or a cell without end
                yield Reject(self._line, "The line is not CSV.")
                continue
            if not any(cell.strip() for cell in cells):
                continue
            if self._phone < 0 and self._is_header(cells):
                continue
            yield self._row(cells)

    def _is_header(self, cells: Sequence[str]) -> bool:
        names = ["".join(filter(str.isalpha, cell.casefold())) for cell in cells]
        self._phone = next((i for i, name in enumerate(names) if name in PHONE_HEADERS), -1)
        self._reason = next((i for i, name in enumerate(names) if name in REASON_HEADERS), None)
        if self._phone >= 0:
            return True
        if isinstance(self._row(["", *cells][-len(cells) :], column=0), Reject):
            raise NoPhoneColumn("No column is called phone, mobile, cell or number.")
        self._phone, self._reason = 0, None
        return False

    def _row(self, cells: Sequence[str], column: int | None = None) -> Listed | Reject:
        at = self._phone if column is None else column
        try:
            number = read(cells[at].strip(), self.region) if at < len(cells) else ""
        except BadPhone as error:
            return Reject(self._line, str(error))
        if not number:
            return Reject(self._line, "The row has no phone.")
        has_reason = self._reason is not None and self._reason < len(cells)
        return Listed(self._line, number, cells[self._reason or 0].strip() if has_reason else "")


def header() -> str:
    """The first line of an export."""
    return _line(EXPORTED)


def line(
    phone: str, source: str, reason: str, opted_out_at: datetime, opted_out_by: str = "", reply: str | None = None
) -> str:
    """One line of an export. What a spreadsheet would take for a formula gets an apostrophe; the phone is E.164."""
    at = opted_out_at.isoformat().replace("+00:00", "Z")
    return _line((phone, source, _safe(reason), at, _safe(opted_out_by), _safe(reply or "")))


def _safe(cell: str) -> str:
    return f"'{cell}" if cell.startswith(DANGEROUS) else cell


def _line(cells: Sequence[str]) -> str:
    out = StringIO()
    csv.writer(out).writerow(cells)
    return out.getvalue()
