"""A CSV file in pieces of bytes to its records, each with the line it begins in, whatever its quotes do."""

import csv
import re
from enum import StrEnum

from send_intake.encoding import LONGEST_LINE, LineDecoder

LONGEST_RECORD = LONGEST_LINE  # characters, over all its lines
MOST_LINES = 100  # of a record; each that is given up was read so far in vain, and the next is read again


class RowProblem(StrEnum):
    """Why a row cannot be read. The value is the stable code, `words` is for people."""

    UNCLOSED_QUOTE = "unclosed_quote"
    ROW_TOO_LONG = "row_too_long"
    CELL_TOO_LONG = "cell_too_long"
    TOO_MANY_CELLS = "too_many_cells"
    TEXT_TOO_LONG = "text_too_long"
    EMPTY_TEXT = "empty_text"

    @property
    def words(self) -> str:
        return _WORDS[self]


_WORDS = {
    RowProblem.UNCLOSED_QUOTE: "A quotation mark opens a cell here and does not end it.",
    RowProblem.ROW_TOO_LONG: f"The row has more than {LONGEST_RECORD:,} characters.",
    RowProblem.CELL_TOO_LONG: "A cell is too long.",
    RowProblem.TOO_MANY_CELLS: "The row has more cells than the header.",
    RowProblem.TEXT_TOO_LONG: "With this row's cells the campaign's text is longer than carriers take.",
    RowProblem.EMPTY_TEXT: "With this row's cells the campaign's text is empty.",
}

Record = tuple[int, list[str] | RowProblem]


class CsvReader:
    """Fed with the file, piece by piece, it gives the records that are complete, each as (line, cells).

    Lines count from 1 as an editor counts them, also inside quotes; blank ones give no record. The first record is the
    header: the delimiter is the one it uses, or the one that Excel's `sep=;` above it names.

    A quote that is never closed must not swallow the file: when the csv module finds its quoting broken, or the record
    grows too long, only the line where it began is given up, with its problem, and reading goes on with the next.
    """

    def __init__(self) -> None:
        self._decoder = LineDecoder()
        self._lines: list[str] = []  # complete lines that are not yet a record
        self._first = 1  # the number of the first of them
        self._delimiter = ""
        self._header_found = False

    def feed(self, chunk: bytes) -> list[Record]:
        self._lines += self._decoder.feed(chunk)
        return self._read(final=False)

    def close(self) -> list[Record]:
        self._lines += self._decoder.close()
        return self._read(final=True)

    def _read(self, final: bool) -> list[Record]:
        if not self._header_found:
            self._find_header()
        records: list[Record] = []
        taken = 0
        while taken < len(self._lines):
            before, taken = taken, self._run(taken, records, final)
            if taken == before:
                break
        del self._lines[:taken]
        self._first += taken
        return records

    def _find_header(self) -> None:
        blank = 0
        for line in self._lines:
            if separator := _SEPARATOR(line):
                self._delimiter = separator[1]
            elif not _BLANK(line):
                self._delimiter = self._delimiter or _delimiter_of(line)
                self._header_found = True
                break
            blank += 1
        del self._lines[:blank]
        self._first += blank

    def _run(self, begin: int, records: list[Record], final: bool) -> int:
        """Adds the records from the line at index `begin` on, up to the first broken one; the index of what is left."""
        lines, start, first = self._lines, begin, self._first
        rest = _Rest(lines, begin)
        reader = csv.reader(rest, delimiter=self._delimiter, skipinitialspace=True, strict=True)
        try:
            for cells in reader:
                after = start + reader.line_num
                if (after - begin > 1 or len(lines[begin]) > LONGEST_RECORD) and _too_long(lines[begin:after]):
                    break
                if cells:
                    records.append((first + begin, cells))
                begin = after
                rest.until = after + MOST_LINES
            else:
                return begin
        except csv.Error:
            after = start + reader.line_num
            if rest.ended and not final and not _too_long(lines[begin:after]):
                return begin  # the quote may yet be closed
        records.append((first + begin, self._salvaged(lines[begin:after])))
        return begin + 1

    def _salvaged(self, lines: list[str]) -> list[str] | RowProblem:
        """Quotes inside a cell (`"Ann "Red" Lee",…`) are understood, as long as the line holds the record."""
        if len(lines) > 1:
            return RowProblem.UNCLOSED_QUOTE
        if _too_long(lines):
            return RowProblem.ROW_TOO_LONG
        rest = _Rest(lines, 0)
        try:
            cells = next(csv.reader(rest, delimiter=self._delimiter, skipinitialspace=True))
        except csv.Error:
            return RowProblem.CELL_TOO_LONG  # the csv module's own limit, 131,072 characters
        return RowProblem.UNCLOSED_QUOTE if rest.ended else cells


class _Rest:
    """The lines from one on, as far as a record may go: `until`, which moves on with each record.

    To have `ended` inside a record, with no line left, tells an open quote from a misplaced one.
    """

    def __init__(self, lines: list[str], at: int) -> None:
        self._lines, self._at = lines, at
        self.until = at + MOST_LINES
        self.ended = False

    def __iter__(self) -> "_Rest":
        return self

    def __next__(self) -> str:
        at = self._at
        if at >= self.until:
            raise StopIteration
        if at >= len(self._lines):
            self.ended = True
            raise StopIteration
        self._at = at + 1
        return self._lines[at]


def _too_long(lines: list[str]) -> bool:
    return sum(map(len, lines)) > LONGEST_RECORD


_SEPARATOR = re.compile(r'"?sep=([,;|\t])"?\s*', re.IGNORECASE).fullmatch
_BLANK = re.compile(r'[\s,;|"]*').fullmatch
_QUOTED = re.compile(r'"[^"]*"?')


def _delimiter_of(header: str) -> str:
    """The commonest outside quotes, a comma when there is none."""
    bare = _QUOTED.sub("", header)
    return max(",;\t|", key=bare.count)
