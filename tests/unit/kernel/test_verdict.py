"""When live tables count as equal, and what a log must hold to be folded again."""

from dataclasses import replace

import pytest
from kernel.verdict import Difference, Refused, Table, Verdict, missing

EQUAL = Verdict([Table("campaigns", 3, 0, [])], [], [], events=900, passed_over=1, fold_s=0.5, total_s=1.0)
ROW = Difference({"campaign_id": "c1"}, True, True, ["delivered"])
AT = ("receipts", 2)


def test_tables_without_a_difference_are_equal_whatever_was_set_aside() -> None:
    assert EQUAL.equal
    assert EQUAL.events_per_second == 1800


@pytest.mark.parametrize(
    "found",
    [
        {"tables": [*EQUAL.tables, Table("recipients", 1, 1, [ROW])]},
        {"drifted": ["c1"]},
        {"refused": [Refused("receipts", 2, 7)]},
    ],
)
def test_one_difference_of_any_kind_is_enough(found: dict[str, list[object]]) -> None:
    assert not replace(EQUAL, **found).equal  # type: ignore[arg-type]


def test_nothing_folded_is_no_division_by_zero() -> None:
    assert replace(EQUAL, events=0, fold_s=0.0).events_per_second == 0


def test_a_log_that_reaches_from_the_beginning_to_where_the_tables_stand_lacks_nothing() -> None:
    assert missing({AT: 0}, {AT: 8}, {AT: 8}) == ""
    assert missing({AT: 0}, {AT: 9}, {AT: 8}) == ""


def test_a_log_without_its_beginning_or_its_end_says_which_partition() -> None:
    assert missing({AT: 3}, {AT: 8}, {AT: 8}).startswith("receipts-2 begins at offset 3")
    assert missing({AT: 0}, {AT: 7}, {AT: 8}) == "receipts-2 ends at offset 7: the tables say that it reached 8"


def test_a_topic_that_is_not_kept_for_ever_may_lack_its_beginning() -> None:
    assert missing({("clock", 0): 3}, {("clock", 0): 8}, {("clock", 0): 8}, frozenset({"clock"})) == ""
    assert missing({("clock", 0): 3}, {("clock", 0): 7}, {("clock", 0): 8}, frozenset({"clock"}))
