"""The log as a sheet: every cell comes back, and none is a formula."""

import csv
import io
from dataclasses import replace
from typing import Any

import pytest
from handsent import log_view
from handsent.csv_view import E164, PLACE, Sheet
from hypothesis import given
from hypothesis import strategies as st
from kernel.testing import processed

from schemas.codec import encode
from schemas.topics import TOPICS

SHEET = Sheet(["processed"])


def rows(text: str, number: str, pii: bool) -> list[dict[str, Any]]:
    press = replace(processed(1), text=text, number=number, processed_by=text)
    record = log_view.seen("processed", 2, 17, 1_772_366_400_000, text.encode(), encode(press))
    said = (SHEET.header() + SHEET.lines([record, record], pii)).decode()
    return list(csv.DictReader(io.StringIO(said, newline="")))


@given(st.text(), st.sampled_from(["+12025550123", "+1=1", "+", "-1"]), st.booleans())
def test_no_cell_is_a_formula(text: str, number: str, pii: bool) -> None:
    one, two = rows(text, number, pii)
    assert one == two
    assert one["processed_by"].removeprefix("'") == text.removeprefix("'")
    for name, cell in one.items():
        if cell and cell[0] in "=+-@\t\r":
            assert name in ("number", "sender") and E164.fullmatch(cell)


def test_there_is_a_column_for_whatever_is_said() -> None:
    header = Sheet(list(TOPICS)).header().decode().strip().split(",")
    assert tuple(header[:6]) == PLACE and header[-1] == "error" and len(set(header)) == len(header)
    assert {"campaign_id", "evidence", "carrier_code", "ended_at"} < set(header)


@pytest.mark.parametrize("pii", [True, False])
def test_what_cannot_be_read_has_its_line(pii: bool) -> None:
    record = log_view.seen("processed", 0, 1, 0, None, b"=HYPERLINK")
    (line,) = csv.reader(io.StringIO(SHEET.lines([record], pii).decode()))
    assert line[5] == "undecodable" and line[-1] and "HYPERLINK" not in ",".join(line)
