"""A list of recipients in CSV: every row becomes a recipient or a reject that says why, and none stops the rest."""

from collections.abc import Iterable
from typing import NamedTuple

from kernel.phone import PhoneProblem, normalise

from send_intake.columns import Columns, FileProblem, read_header
from send_intake.records import CsvReader, Record, RowProblem
from send_intake.template import MAX_TEXT, Template

MAX_CELL = 10_000  # characters


class Row(NamedTuple):
    line: int  # where the record begins in the file
    number: str  # E.164
    columns: dict[str, str]  # all but the phone column, by their header, trimmed, in the order of the file


class Reject(NamedTuple):
    line: int
    reason: PhoneProblem | RowProblem  # the stable code; `.words` for people


class Batch(NamedTuple):
    """What a piece of the file made complete. Rows that are blank are in neither."""

    rows: list[Row]
    rejects: list[Reject]


class Refusal(NamedTuple):
    """Nothing of the file is taken."""

    reason: FileProblem
    fields: tuple[str, ...] = ()  # the merge fields without a column


class Importer:
    """Fed with the file, piece by piece. A refusal comes before the first row, and for good."""

    def __init__(self, region: str, template: Template | None = None) -> None:
        self._region = region
        self._template = template
        self._reader = CsvReader()
        self._refusal: Refusal | None = None
        self.columns: Columns | None = None  # known once the header has been read

    def feed(self, chunk: bytes) -> Batch | Refusal:
        return self._refusal or self._take(self._reader.feed(chunk))

    def close(self) -> Batch | Refusal:
        if self._refusal is None:
            batch = self._take(self._reader.close())
            if self.columns is not None:
                return batch
        return self._refusal or Refusal(FileProblem.EMPTY_FILE)

    def _take(self, records: list[Record]) -> Batch | Refusal:
        if self.columns is None:
            if not records:
                return Batch([], [])
            header = self._header(records.pop(0)[1])
            if isinstance(header, Refusal):
                self._refusal = header
                return header
            self.columns = header
        return read_rows(records, self.columns, self._region, self._template)

    def _header(self, cells: list[str] | RowProblem) -> Columns | Refusal:
        if isinstance(cells, RowProblem):
            return Refusal(FileProblem.UNREADABLE_HEADER)
        columns = read_header(cells, self._region)
        if isinstance(columns, FileProblem):
            return Refusal(columns)
        missing = self._template.missing(columns.names) if self._template else ()
        return Refusal(FileProblem.MISSING_COLUMN, missing) if missing else columns


def read_rows(records: Iterable[Record], columns: Columns, region: str, template: Template | None = None) -> Batch:
    """Each record that is not blank as a row or a reject."""
    rows: list[Row] = []
    rejects: list[Reject] = []
    for line, record in records:
        if isinstance(record, RowProblem):
            rejects.append(Reject(line, record))
            continue
        cells = [cell.strip() for cell in record]
        if not any(cells):
            continue
        if problem := _fit(cells, columns.width):
            rejects.append(Reject(line, problem))
            continue
        number = normalise(cells.pop(columns.phone), region)
        if isinstance(number, PhoneProblem):
            rejects.append(Reject(line, number))
            continue
        row = Row(line, number, dict(zip(columns.names, cells, strict=True)))
        if template is not None and (unsendable := _unsendable(template.render(row.columns))):
            rejects.append(Reject(line, unsendable))
        else:
            rows.append(row)
    return Batch(rows, rejects)


def _unsendable(text: str) -> RowProblem | None:
    if not text.strip():
        return RowProblem.EMPTY_TEXT
    return RowProblem.TEXT_TOO_LONG if len(text) > MAX_TEXT else None


def _fit(cells: list[str], width: int) -> RowProblem | None:
    """Makes the row as wide as the header: cells that are missing are blank, blank ones beyond it are nothing."""
    if len(cells) > width and any(cells[width:]):
        return RowProblem.TOO_MANY_CELLS
    if max(map(len, cells)) > MAX_CELL:
        return RowProblem.CELL_TOO_LONG
    if len(cells) != width:
        cells[width:] = []
        cells.extend([""] * (width - len(cells)))
    return None
