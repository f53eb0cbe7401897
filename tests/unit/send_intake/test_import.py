"""A list of recipients: which rows become recipients, which do not, and why."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel.phone import PhoneProblem
from send_intake.columns import FileProblem
from send_intake.import_ import MAX_CELL, Batch, Importer, Refusal, Reject, Row
from send_intake.records import RowProblem
from send_intake.template import Template, parse


def take(data: bytes, text: str = "Hi", size: int = 1 << 16) -> Batch | Refusal:
    template = parse(text)
    assert isinstance(template, Template)
    importer = Importer("US", template)
    rows: list[Row] = []
    rejects: list[Reject] = []
    for batch in [*(importer.feed(data[i : i + size]) for i in range(0, len(data), size)), importer.close()]:
        if isinstance(batch, Refusal):
            return batch
        rows += batch.rows
        rejects += batch.rejects
    return Batch(rows, rejects)


def taken(data: bytes) -> Batch:
    batch = take(data)
    assert isinstance(batch, Batch)
    return batch


def test_each_good_row_is_a_number_and_its_columns() -> None:
    assert taken(b"First Name,Cell Phone,City\n Ann ,(202) 555-0123,\n") == Batch(
        [Row(2, "+12025550123", {"First Name": "Ann", "City": ""})], []
    )


def test_a_bad_row_is_rejected_with_its_line_and_stops_nothing() -> None:
    data = b'phone,note\n2025550123,"two\nlines"\n555-0123,\n,no phone\n2025550124,a,b\n"2025550125,\n2025550126,last\n'
    rows, rejects = taken(data)
    assert [(row.line, row.number) for row in rows] == [(2, "+12025550123"), (8, "+12025550126")]
    assert rejects == [
        Reject(4, PhoneProblem.TOO_SHORT),
        Reject(5, PhoneProblem.NO_NUMBER),
        Reject(6, RowProblem.TOO_MANY_CELLS),
        Reject(7, RowProblem.UNCLOSED_QUOTE),
    ]
    assert all(reject.reason.words.endswith(".") for reject in rejects)


def test_blank_rows_are_neither_rows_nor_rejects() -> None:
    assert taken(b"phone,name\n\n , \n,,,\n\xc2\xa0\n") == Batch([], [])


def test_cells_that_are_missing_are_blank_and_blank_ones_too_many_are_nothing() -> None:
    assert [row.columns for row in taken(b"phone,a,b\n2025550123\n2025550123,1\n2025550123,1,2, ,\n").rows] == [
        {"a": "", "b": ""},
        {"a": "1", "b": ""},
        {"a": "1", "b": "2"},
    ]


def test_a_cell_has_a_limit() -> None:
    at_limit = b"phone,a\n2025550123," + b"x" * MAX_CELL
    assert len(taken(at_limit).rows) == 1
    assert taken(at_limit + b"x").rejects == [Reject(2, RowProblem.CELL_TOO_LONG)]


def test_the_same_number_twice_is_not_decided_here() -> None:
    assert len(taken(b"phone\n2025550123\n+12025550123\n").rows) == 2


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", FileProblem.EMPTY_FILE),
        (b"\n \n,,\n", FileProblem.EMPTY_FILE),
        (b"\xef\xbb\xbf", FileProblem.EMPTY_FILE),
        (b"name,email\nAnn,a@example.org\n", FileProblem.MISSING_PHONE_COLUMN),
        (b"Ann,202-555-0123\n", FileProblem.MISSING_HEADER),
        (b'"phone', FileProblem.UNREADABLE_HEADER),
        (b"PK\x03\x04\x14\x00\x06\x00", FileProblem.NOT_CSV),
    ],
)
@pytest.mark.parametrize("size", [1, 1 << 16])
def test_a_file_without_a_usable_header_is_refused(data: bytes, reason: FileProblem, size: int) -> None:
    assert take(data, size=size) == Refusal(reason)


def test_a_merge_field_without_a_column_refuses_the_file_before_any_row() -> None:
    refusal = take(b"phone,First Name\n2025550123,Ann\n", "Hi {first_name} of {city} and {zip}")
    assert refusal == Refusal(FileProblem.MISSING_COLUMN, ("city", "zip"))
    assert isinstance(take(b"phone,First Name\n2025550123,Ann\n", "Hi {first_name}"), Batch)


def test_a_header_alone_is_a_list_of_nobody() -> None:
    importer = Importer("US")
    assert importer.feed(b"phone,na") == Batch([], [])
    assert importer.close() == Batch([], [])
    assert importer.columns is not None
    assert importer.columns.names == ("na",)


ROW = st.sampled_from(["2025550123,Ann", "555,Ann", ",", "", "2025550123,a,b", '"x', "2025550123,a", ",x", "1.2E+10,x"])


@given(st.lists(ROW, max_size=20), st.integers(1, 40))
@settings(max_examples=100, deadline=None)
def test_rows_and_rejects_are_all_that_is_not_blank(lines: list[str], size: int) -> None:
    data = "\n".join(["phone,name", *lines]).encode()
    batch = take(data, size=size)
    assert isinstance(batch, Batch)
    assert len(batch.rows) + len(batch.rejects) == sum(1 for line in lines if line.strip(", "))
    for part in batch:
        assert [entry.line for entry in part] == sorted({entry.line for entry in part})


@given(st.binary(max_size=300), st.booleans())
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_taken_or_refused(data: bytes, with_header: bool) -> None:
    assert isinstance(take(b"phone,name\n" + data if with_header else data, size=7), Batch | Refusal)


def test_a_row_that_leaves_nothing_of_the_text_is_rejected() -> None:
    batch = take(b"phone,hi,name\n2025550123,,\n2025550124,Hi,\n2025550125, ,\xe2\x80\x83\n", "{hi} {name}\n")
    assert isinstance(batch, Batch)
    assert batch.rejects == [Reject(2, RowProblem.EMPTY_TEXT), Reject(4, RowProblem.EMPTY_TEXT)]
    assert [row.number for row in batch.rows] == ["+12025550124"]


def test_a_row_that_makes_the_text_longer_than_carriers_take_is_rejected() -> None:
    template = parse("Dear {name}, " + "x" * 1500)
    assert isinstance(template, Template)
    importer = Importer("US", template)
    batch = importer.feed(f"phone,name\n2025550123,{'A' * 100}\n2025550124,Ann\n".encode())
    assert isinstance(batch, Batch)
    assert [reject.reason for reject in batch.rejects] == [RowProblem.TEXT_TOO_LONG]
    assert [row.number for row in batch.rows] == ["+12025550124"]
