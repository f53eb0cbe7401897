"""The archive's list of sums: what sha256sum writes and reads."""

import pytest
from handsent.audit.manifest import BadManifest, compare, parse, text
from hypothesis import given
from hypothesis import strategies as st

A, B = "a" * 64, "b" * 64
names = st.from_regex(r"[a-z][a-z0-9]{0,5}(/[a-z]{1,4}\.avsc)?", fullmatch=True)


@given(st.dictionaries(names, st.sampled_from([A, B])))
def test_it_says_what_was_written(sums: dict[str, str]) -> None:
    assert parse(text(sums)) == sums and compare(sums, sums) == []


def test_it_is_in_sha256sum_s_form() -> None:
    assert text({"b.txt": B, "a.txt": A}) == f"{A}  a.txt\n{B}  b.txt\n"


@pytest.mark.parametrize("said", [f"{A} a", f"{A}  ../a", f"{A}  /a", f"{A}  a\n{B}  a", f"{A[1:]}  a", "x", f"{A}  "])
def test_another_form_is_none(said: str) -> None:
    with pytest.raises(BadManifest):
        parse(said)


def test_each_difference_is_named() -> None:
    assert compare({"a": A, "b": B, "c": A}, {"b": A, "c": A, "d": B}) == [
        "a is missing", "b is not what MANIFEST says", "d is not in MANIFEST"
    ]  # fmt: skip
