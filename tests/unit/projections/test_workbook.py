"""The report as a workbook, read back by a library of somebody else."""

import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import load_workbook
from openpyxl.utils.escape import unescape
from projections.people import Person
from projections.report import COLUMNS, Line
from projections.workbook import MOST_CHARACTERS, Workbook

LINE = Line("r1", "delivered", "delivered", *[None] * 10, segments="2", opted_out_at=None)
ABOUT = [("campaign", "Spring & <co>"), ("as_of", "2026-03-01T12:00:00.000000Z")]
texts = st.text(alphabet=st.characters(exclude_characters="\x00", exclude_categories=("Cs",)))


def book(*people: Person, own: list[str], most_rows: int = 1000) -> Any:
    """What a reader finds: sheet -> rows of cells."""
    paper = Workbook(own, ABOUT, most_rows)
    paper.header()
    pieces = [paper.taken()]
    for person in people:
        paper.add(LINE, person)
        pieces.append(paper.taken())
    paper.finish()
    pieces.append(paper.taken())
    found = load_workbook(io.BytesIO(b"".join(pieces)), read_only=True)
    return {sheet.title: [list(row) for row in sheet.iter_rows(values_only=True)] for sheet in found}


def test_it_has_the_columns_of_the_contract_and_a_sheet_that_says_as_of_when() -> None:
    sheets = book(Person("+12025550123", {"City": "Bath"}), own=["City"])
    header, row = sheets["recipients"]
    assert header == [*COLUMNS, "City"]
    told = dict(zip(header, row, strict=True))
    assert (told["phone"], told["state"], told["segments"], told["City"]) == ("+12025550123", "delivered", 2, "Bath")
    assert told["opted_out_at"] is None
    assert sheets["about"] == [list(row) for row in ABOUT]


@settings(deadline=None)
@given(st.dictionaries(texts, texts, max_size=3))
def test_any_cell_survives(cells: dict[str, str]) -> None:
    own = list(cells)
    header, row = book(Person(None, cells), own=own)["recipients"]
    assert [unescape(cell or "") for cell in header[len(COLUMNS) :]] == own
    row += [None] * (len(header) - len(row))
    assert [unescape(cell or "") for cell in row[len(COLUMNS) :]] == list(cells.values())


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-", "@x", "007", "2026-03-01", "TRUE", "_x0041_", "a\rb\tc\nd", " x "])
def test_a_cell_stays_the_text_it_is(cell: str) -> None:
    _, row = book(Person(None, {"Note": cell}), own=["Note"])["recipients"]
    assert isinstance(row[-1], str) and unescape(row[-1]) == cell


def test_a_cell_no_spreadsheet_takes_is_cut_and_says_so() -> None:
    _, row = book(Person(None, {"Note": "x" * 40_000}), own=["Note"])["recipients"]
    assert len(row[-1]) == MOST_CHARACTERS and row[-1].endswith("x…")


def test_a_list_too_long_for_a_sheet_goes_on_in_another() -> None:
    people = [Person(f"+1202555{n:04d}", {}) for n in range(25)]
    sheets = book(*people, own=[], most_rows=11)
    assert list(sheets) == ["recipients", "recipients 2", "recipients 3", "about"]
    rows = [row for name, sheet in sheets.items() if name != "about" for row in sheet[1:]]
    assert [row[1] for row in rows] == [person.phone for person in people]
    assert all(sheet[0] == list(COLUMNS) for name, sheet in sheets.items() if name != "about")
