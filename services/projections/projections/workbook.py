"""The recipient report as an XLSX workbook, written piece by piece: neither the list nor a sheet is ever in memory.

By hand, because the libraries that write workbooks in constant memory do so by way of temporary files, in which the
numbers of people would lie open. Every cell is text or a count, never a formula: what begins with `=` stays as it is.
"""

import re
from collections.abc import Iterable, Sequence
from typing import IO
from xml.sax.saxutils import escape
from zipfile import ZIP_DEFLATED, ZipFile

from projections.people import Person
from projections.report import COLUMNS, Line, words

MOST_ROWS = 1_048_576  # of a sheet, the header among them
MOST_SHEET_BYTES = 1_900_000_000  # beyond 2 GiB a member needs ZIP64, which not every spreadsheet reads
MOST_CHARACTERS = 32_767  # of a cell
_CUT = "…"

# XML knows no control characters, and reads a carriage return as a line feed; a spreadsheet writes them so.
_ODD = re.compile("[\x00-\x08\x0b-\x1f\ufffe\uffff]|_(?=x[0-9A-Fa-f]{4}_)")
_HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_SHEET = (
    f'{_HEAD}<worksheet xmlns="{_MAIN}"><sheetViews><sheetView workbookViewId="0">'
    '<pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" state="frozen"/></sheetView></sheetViews><sheetData>'
)
_SHEET_END = "</sheetData></worksheet>"


class _Sink:
    """Takes what the archive writes. It cannot go back, so the archive does not try."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, piece: bytes) -> int:
        self._pieces.append(bytes(piece))
        return len(piece)

    def flush(self) -> None:
        pass

    def taken(self) -> bytes:
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


class Workbook:
    """Writes the report's lines into sheets of at most `most_rows`; `about` is told on a sheet of its own."""

    def __init__(self, own: Sequence[str], about: Iterable[tuple[str, str]], most_rows: int = MOST_ROWS) -> None:
        self._own, self._about, self._most_rows = own, list(about), most_rows
        self._sink = _Sink()
        self._zip = ZipFile(self._sink, "w", ZIP_DEFLATED, compresslevel=1)  # type: ignore[call-overload]
        self._names: list[str] = []
        self._sheet: IO[bytes] | None = None
        self._lines: list[str] = []
        self._rows = self._bytes = 0

    def header(self) -> None:
        self._open("recipients")
        self._add([*COLUMNS, *self._own])

    def add(self, line: Line, person: Person) -> None:
        if self._rows >= self._most_rows or self._bytes >= MOST_SHEET_BYTES:
            self._open(f"recipients {len(self._names) + 1}")
            self._add([*COLUMNS, *self._own])
        why, cells = words(line.state, line.reason_code), person.cells
        count = f"<c><v>{line.segments}</v></c>" if line.segments else "<c/>"
        self._add(
            (line.recipient_id, person.phone, person.first_name, person.last_name, line.state, line.delivery,
             line.reason_code, *why, line.processed_at, line.processed_by, line.due_at, line.released_at, line.sent_at,
             line.accepted_at, line.delivered_at, line.carrier_code, line.carrier_message_id),
            count,
            (line.opted_out_at, *(cells.get(name, "") for name in self._own)),
        )  # fmt: skip

    def taken(self) -> bytes:
        """What was written since the last time."""
        self._flush()
        return self._sink.taken()

    def finish(self) -> None:
        """Nothing can be added any more."""
        self._open("about")
        for row in self._about:
            self._add(row)
        self._close()
        numbered = list(enumerate(self._names, 1))
        for path, content in _parts(numbered).items():
            self._zip.writestr(path, _HEAD + content)
        self._zip.close()

    def _add(self, texts: Iterable[str | None], count: str = "", more: Iterable[str | None] = ()) -> None:
        self._lines.append(f"<row>{''.join(map(_cell, texts))}{count}{''.join(map(_cell, more))}</row>")
        self._rows += 1

    def _open(self, name: str) -> None:
        self._close()
        self._names.append(name)
        self._sheet = self._zip.open(f"xl/worksheets/sheet{len(self._names)}.xml", "w")
        self._lines.append(_SHEET)
        self._rows = self._bytes = 0

    def _close(self) -> None:
        if self._sheet is not None:
            self._lines.append(_SHEET_END)
            self._flush()
            self._sheet.close()
            self._sheet = None

    def _flush(self) -> None:
        lines, self._lines = self._lines, []
        if self._sheet is not None and lines:
            self._bytes += self._sheet.write("".join(lines).encode())


def _cell(text: str | None) -> str:
    if not text:
        return "<c/>"
    if len(text) > MOST_CHARACTERS:
        text = text[: MOST_CHARACTERS - len(_CUT)] + _CUT
    if _ODD.search(text):
        text = _ODD.sub(lambda odd: f"_x{ord(odd[0]):04X}_", text)
    return f'<c t="inlineStr"><is><t xml:space="preserve">{escape(text)}</t></is></c>'


def _parts(sheets: list[tuple[int, str]]) -> dict[str, str]:
    """What makes an archive of sheets a workbook."""
    types = "".join(
        f'<Override PartName="/xl/worksheets/sheet{n}.xml" ContentType="{_TYPE}.worksheet+xml"/>' for n, _ in sheets
    )
    named = "".join(f'<sheet name="{name}" sheetId="{n}" r:id="rId{n}"/>' for n, name in sheets)
    related = "".join(
        f'<Relationship Id="rId{n}" Type="{_OFFICE}/worksheet" Target="worksheets/sheet{n}.xml"/>' for n, _ in sheets
    )
    return {
        "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}"><sheets>{named}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">{related}</Relationships>',
        "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="rId1" '
        f'Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Default Extension="xml" ContentType="application/xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{_TYPE}.sheet.main+xml"/>{types}</Types>',
    }
