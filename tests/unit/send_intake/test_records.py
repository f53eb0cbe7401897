"""Records of a CSV file, however its bytes arrive and whatever its quotes do."""

import csv
import io
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from send_intake.records import LONGEST_RECORD, MOST_LINES, CsvReader, Record, RowProblem


def read(data: bytes, *cuts: int) -> list[Record]:
    reader = CsvReader()
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    records: list[Record] = []
    for begin, end in pairwise(edges):
        records += reader.feed(data[begin:end])
    return records + reader.close()


def cells(data: bytes) -> list[list[str] | RowProblem]:
    return [record for _, record in read(data)]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_any_line_end_ends_a_line_and_the_last_may_lack_it(end: str) -> None:
    expected: list[Record] = [(1, ["phone", "name"]), (2, ["1", "Ann"]), (4, ["2", "Bob"])]
    text = end.join(["phone,name", "1,Ann", "", "2,Bob"])
    assert read(text.encode()) == expected
    assert read((text + end).encode()) == expected


def test_a_record_is_named_by_the_line_it_begins_in() -> None:
    data = b'phone,"note\nfor us"\n1,"a\r\nb\rc"\n\n2,d\n'
    assert read(data) == [(1, ["phone", "note\nfor us"]), (3, ["1", "a\r\nb\rc"]), (7, ["2", "d"])]


def test_blank_lines_above_the_header_count_as_lines() -> None:
    assert read(b"\n,,,\n \nphone,name\n1,Ann\n") == [(4, ["phone", "name"]), (5, ["1", "Ann"])]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_header_tells_the_delimiter(delimiter: str) -> None:
    header = delimiter.join(["phone", '"a,b;c\td|e,;\t|"', "name"])
    assert cells(f"{header}\n1{delimiter}2{delimiter}3".encode()) == [
        ["phone", "a,b;c\td|e,;\t|", "name"],
        ["1", "2", "3"],
    ]


def test_excels_first_line_names_the_delimiter() -> None:
    assert read(b"sep=;\r\nphone;a,b,c\r\n1;2\r\n") == [(2, ["phone", "a,b,c"]), (3, ["1", "2"])]
    assert read(b'"sep=\t"\nphone\tname') == [(2, ["phone", "name"])]


def test_a_single_column_needs_no_delimiter() -> None:
    assert cells(b"phone\n1\n2") == [["phone"], ["1"], ["2"]]


NAMES = "phone,name\n1,José\n2,Zoë €5\n"


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"]
)  # utf-16 writes a byte order mark, the other two do not
def test_the_encoding_is_found_out(encoding: str) -> None:
    assert cells(NAMES.encode(encoding)) == [["phone", "name"], ["1", "José"], ["2", "Zoë €5"]]
    assert cells(b"\xfe\xff" + NAMES.encode("utf-16-be")) == [["phone", "name"], ["1", "José"], ["2", "Zoë €5"]]


def test_only_the_line_that_is_not_utf_8_is_windows_1252() -> None:
    data = "1,José\n".encode() + "2,José\n".encode("cp1252") + b"3,\x81\n" + "4,Zoë\n".encode()
    assert [record[1] for record in cells(b"phone,name\n" + data)[1:]] == [
        "José",
        "José",
        "\N{REPLACEMENT CHARACTER}",
        "Zoë",
    ]


def test_nul_bytes_go() -> None:
    assert cells(b"phone,na\0me\n1,\0\n\0") == [["phone", "name"], ["1", ""]]


def test_quotes_inside_a_cell_are_understood_within_a_line() -> None:
    assert cells(b'phone,name\n1,"Ann "Red" Lee"\n2,5\'10" tall\n3, "a, b"\n4,"x" \n') == [
        ["phone", "name"],
        ["1", 'Ann Red" Lee"'],
        ["2", "5'10\" tall"],
        ["3", "a, b"],
        ["4", "x "],
    ]


@pytest.mark.parametrize(
    "rest",
    [
        [f"{i},Bob" for i in range(20_000)],  # no other quote: the record would swallow them all
        [f'{i},"Lee, Bob"' for i in range(1_000)],  # the next quote would seem to close it
        ['1,"Lee', "2,Bob"],
        [],
    ],
)
def test_an_unclosed_quote_costs_its_own_line_only(rest: list[str]) -> None:
    records = read("\n".join(["phone,name", '0,"Ann', *rest]).encode())
    problems = [(line, record) for line, record in records if isinstance(record, RowProblem)]
    assert problems[0] == (2, RowProblem.UNCLOSED_QUOTE)
    assert [line for line, _ in records] == list(range(1, len(rest) + 3))
    assert len(problems) == 1 + (rest == ['1,"Lee', "2,Bob"])


def test_a_row_too_long_to_hold_costs_itself_only() -> None:
    wide = b"1," * LONGEST_RECORD
    for data in [b"phone\n" + wide + b"\n2\n", b"phone\r" + wide + b"\r2\r"]:
        expected: list[Record] = [(1, ["phone"]), (2, RowProblem.ROW_TOO_LONG), (3, ["2"])]
        assert read(data) == expected
        assert read(data, *range(0, len(data), 65_536)) == expected
        assert read(data, len(data) - 2, len(data) - 3) == expected
    longest = "1" * (LONGEST_RECORD - 1)
    assert cells(f"phone\n{longest}\n2\n".encode()) == [["phone"], [longest], ["2"]]


def test_an_open_quote_is_waited_for_no_longer_than_a_record_may_be() -> None:
    reader = CsvReader()
    reader.feed(b'phone\n"')
    records = [record for _ in range(9) for record in reader.feed((b"1" * 63 + b"\n") * 512)]
    assert records[:3] == [(2, RowProblem.UNCLOSED_QUOTE), (3, ["1" * 63]), (4, ["1" * 63])]


SCRAPS = st.lists(
    st.sampled_from(
        ['"', '""', ",", "\n", "\r\n", "\r", "a", "é", "€", "😀", "\x85", "\u2028", " ", ";", "\0", "x,y\n"]
    ),
    max_size=40,
)


@given(
    SCRAPS, st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-be"]), st.lists(st.integers(0, 500), max_size=6)
)
@settings(max_examples=300, deadline=None)
def test_the_pieces_the_bytes_come_in_change_nothing(scraps: list[str], encoding: str, cuts: list[int]) -> None:
    data = ("phone,name\n" + "".join(scraps)).encode(encoding)
    whole = read(data)
    assert read(data, *cuts) == whole
    assert read(data, *range(len(data))) == whole


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=4))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_read_the_same_in_any_pieces(data: bytes, cuts: list[int]) -> None:
    assert read(data, *cuts) == read(data)


@given(
    st.lists(
        st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8), min_size=2, max_size=4)
    ),
    st.sampled_from([("\n", ","), ("\r\n", ";"), ("\r", "\t")]),
)
@settings(max_examples=150, deadline=None)
def test_what_the_csv_module_wrote_is_read_back(rows: list[list[str]], style: tuple[str, str]) -> None:
    end, delimiter = style
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator=end, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows(
        [["phone", "name"], *rows]
    )
    assert cells(file.getvalue().encode()) == [["phone", "name"], *rows]


def test_a_record_has_so_many_lines_and_no_more() -> None:
    """Else short lines, each with an open quote, would each be read as far as the limit of characters goes."""
    long = "x\n" * (MOST_LINES - 1)
    found = read(f'a,b\n1,"{long}end"\n2,"{long}\nend"\n3,c\n'.encode())
    assert found[1] == (2, ["1", f"{long}end"])
    assert (2 + MOST_LINES, RowProblem.UNCLOSED_QUOTE) in found
    assert found[-1][1] == ["3", "c"]
