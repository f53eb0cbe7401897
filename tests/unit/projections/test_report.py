"""The report's words, and what a spreadsheet makes of its cells."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from projections.people import Person
from projections.progress import State
from projections.report import COLUMNS, WORDS, Line, Sheet, file_name, guarded, own_columns, words

from schemas import reasons
from tests.unit.projections.life import NOON

UNPROCESSED = Line("r1", "unprocessed", "", *[None] * 12)
texts = st.text(alphabet=st.characters(exclude_characters="\x00", exclude_categories=("Cs",)))


def header_line(names: list[str]) -> bytes:
    sheet = Sheet(names)
    sheet.header()
    return sheet.taken()


@pytest.mark.parametrize(
    ("state", "codes"),
    [
        (State.FAILED, reasons.FailureReason),
        (State.WAITING, reasons.NotAcceptedReason),
        (State.UNKNOWN, reasons.UnresolvedReason),
        (State.DROPPED, reasons.DropReason),
        (State.SUPPRESSED, reasons.SuppressReason),
        (State.UNCONFIRMED, reasons.UnconfirmedReason),
    ],
)
def test_every_reason_has_words_and_advice(state: State, codes: type[reasons.StrEnum]) -> None:
    assert set(WORDS[state]) == set(codes)
    assert all(words(state, code).reason and words(state, code).advice for code in codes)


def test_no_reason_has_no_words() -> None:
    assert words("delivered", None) == ("", "")


def test_the_columns_are_the_contract() -> None:
    assert header_line(["City", "=Danger", 'a "b", c']).decode() == ",".join(COLUMNS) + ',City,\'=Danger,"a ""b"", c"\n'
    assert COLUMNS[:9] == (
        "recipient_id", "phone", "first_name", "last_name", "state", "delivery", "reason_code", "reason", "advice"
    )  # fmt: skip


def test_columns_the_report_has_already_are_not_repeated() -> None:
    assert own_columns(["First Name", "City", "LAST_NAME", "firstname", "Name"]) == ["City", "firstname", "Name"]


@given(st.text(max_size=5))
def test_no_cell_begins_as_a_formula(cell: str) -> None:
    found = guarded(cell)
    assert not found or found[0] not in "=+-@\t\r"
    assert found.removeprefix("'") == cell.removeprefix("'")


@given(st.lists(texts, max_size=4))
def test_any_header_survives_csv(names: list[str]) -> None:
    line = header_line(names).decode()
    assert next(csv.reader(io.StringIO(line, newline="")))[len(COLUMNS) :] == [guarded(name) for name in names]


@given(st.dictionaries(texts, texts, max_size=4), texts)
def test_any_cell_survives_csv_and_none_is_a_formula(cells: dict[str, str], code: str) -> None:
    own = own_columns(cells)
    sheet = Sheet(own)
    sheet.add(UNPROCESSED._replace(carrier_code=code), Person("+12025550123", cells))
    sheet.add(UNPROCESSED, Person(None, cells))
    first, second = csv.reader(io.StringIO(sheet.taken().decode(), newline=""))
    assert first[len(COLUMNS) :] == second[len(COLUMNS) :] == [guarded(cells[name]) for name in own]
    told = dict(zip(COLUMNS, first, strict=False))
    assert (told["phone"], told["carrier_code"], second[1]) == ("+12025550123", guarded(code), "")
    assert not [cell for cell in first if cell[:1] in tuple("=+-@\t\r") and cell not in ("", "+12025550123")]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Get out the vote!", "Get-out-the-vote"),
        ('"; rm -rf /\r\n', "rm-rf"),
        ("日本", "c1"),
        (None, "c1"),
    ],
)
def test_the_file_name_is_safe_and_says_when_it_was_true(name: str | None, expected: str) -> None:
    assert file_name(name, "c1", NOON, "csv") == f"{expected}-recipients-20260301T120000Z.csv"
