"""JSON that two readers could understand differently, or that costs more than it weighs, is refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel.strict_json import MOST_MEMBERS, Malformed, loads

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_json_is_read_as_everybody_reads_it(value: object) -> None:
    assert loads(json.dumps(value).encode()) == value
    assert loads(json.dumps(value, ensure_ascii=True).encode()) == value


@given(st.binary(max_size=60))
def test_any_bytes_are_json_or_malformed(body: bytes) -> None:
    try:
        loads(body)
    except Malformed as error:
        assert str(error)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"a": 1,}',
        b'{"a": 1} {}',
        b'{"confirm": "no", "confirm": "END"}',
        b'[{"b": {"a": 1, "a": 1}}]',
        b"NaN",
        b'{"limit": Infinity}',
        b"-Infinity",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"9" * 10_000,
        b'{"a": "\xff"}',
        '{"a": 1}'.encode("utf-16"),
        b"\xef\xbb\xbf{}",
        json.dumps(dict.fromkeys(map(str, range(MOST_MEMBERS + 1)))).encode(),
    ],
    ids=lambda body: str(body[:24]),
)
def test_what_is_malformed_is_said_without_repeating_it(body: bytes) -> None:
    with pytest.raises(Malformed) as error:
        loads(body)
    assert len(str(error.value)) < 100
