"""A record as bytes and as a line: nothing is lost, and no two records look alike."""

import json
from typing import Any

import pytest
from handsent.audit.framing import BadLine, Record, as_line, frame, from_line
from hypothesis import given
from hypothesis import strategies as st

some_bytes = st.none() | st.binary(max_size=6)
records = st.builds(
    Record,
    topic=st.sampled_from(["processed", "receipts"]),
    partition=st.integers(0, 3),
    offset=st.integers(0, 2**63),
    timestamp=st.integers(-1, 2**62),
    key=some_bytes,
    value=some_bytes,
    headers=st.lists(st.tuples(st.text(max_size=3), some_bytes), max_size=3).map(tuple),
    withheld=st.none(),
)
A = Record("processed", 1, 7, 1_772_366_400_000, b"a key", b"\x00value", (("event-type", b"X"), ("empty", None)))


@given(records)
def test_a_line_holds_all_of_a_record(record: Record) -> None:
    line = as_line(record)
    assert line.index(b"\n") == len(line) - 1 and from_line(line) == record
    assert from_line(line).leaf() == record.leaf()


@given(records, records)
def test_two_records_have_two_frames(one: Record, another: Record) -> None:
    same = one[2:] == another[2:]  # topic and partition are the tree's
    assert (frame(*one[2:7]) == frame(*another[2:7])) is same


def test_what_is_not_there_is_not_what_is_empty() -> None:
    assert A._replace(key=None).leaf() != A._replace(key=b"").leaf()
    assert A._replace(key=b"ab", value=b"c").leaf() != A._replace(key=b"a", value=b"bc").leaf()
    assert A._replace(headers=(("a", b""),)).leaf() != A._replace(headers=()).leaf()


def test_the_frame_is_what_the_archive_s_readme_says() -> None:
    said = Record("t", 0, 1, 2, b"k", None, (("h", b"v"),))
    assert frame(*said[2:7]).hex() == "".join(
        ("0000000000000001", "0000000000000002", "00000001", "6b", "ffffffff", "00000001", "00000001", "68",
         "00000001", "76")
    )  # fmt: skip


def test_a_withheld_value_leaves_its_leaf() -> None:
    withheld = A._replace(value=None, withheld=A.leaf())
    line = as_line(withheld)
    assert "value" not in json.loads(line) and from_line(line).leaf() == A.leaf()


@pytest.mark.parametrize(
    "changed",
    [
        {"offset": -1}, {"offset": "7"}, {"partition": True}, {"timestamp": None}, {"key": "***"}, {"headers": [["a"]]},
        {"headers": None}, {"topic": 3}, {"value": 5}, {"leaf": "00"}, {"headers": [[1, None]]},
    ],
)  # fmt: skip
def test_what_is_no_record_is_none(changed: dict[str, Any]) -> None:
    with pytest.raises(BadLine):
        from_line(json.dumps({**json.loads(as_line(A)), **changed}))


@pytest.mark.parametrize("line", ["", "{}", "[]", "null", "{", "[" * 100_000, b"\xff"])
def test_what_is_no_line_is_none(line: str | bytes) -> None:
    with pytest.raises(BadLine):
        from_line(line)
