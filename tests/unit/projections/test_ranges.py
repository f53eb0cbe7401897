"""Which bytes are asked for."""

import pytest
from projections.ranges import Unsatisfiable, byte_range


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-", range(100)),
        ("bytes=40-", range(40, 100)),
        ("bytes=40-49", range(40, 50)),
        ("bytes=40-400", range(40, 100)),
        ("bytes=-10", range(90, 100)),
        ("bytes=-1000", range(100)),
        ("bytes=99-", range(99, 100)),
    ],
)
def test_one_range(header: str, expected: range) -> None:
    assert byte_range(header, 100) == expected


@pytest.mark.parametrize("header", ["", "bytes=", "bytes=-", "bytes=5-3", "bytes=0-1,5-6", "lines=0-1", "bytes=a-"])
def test_what_is_not_one_range_asks_for_all(header: str) -> None:
    assert byte_range(header, 100) is None


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=200-300", "bytes=-0"])
def test_beyond_the_end_there_is_nothing(header: str) -> None:
    with pytest.raises(Unsatisfiable):
        byte_range(header, 100)
