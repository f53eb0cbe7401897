"""What two schemas have in common."""

from projections.comparison import Column, difference, in_common

LIVE = [Column("t", "id", "uuid", 0), Column("t", "at", "timestamptz", 1), Column("t", "gone", "text", None),
        Column("offsets", "topic", "text", 0), Column("u", "id", "int", 0), Column("only", "id", "int", 0)]  # fmt: skip
RUN = [Column("t", "id", "uuid", 0), Column("t", "at", "timestamptz", 1), Column("t", "new", "text", None),
       Column("u", "id", "int", None), Column("more", "id", "int", 0)]  # fmt: skip


def test_what_only_one_has_is_named_and_left_out() -> None:
    found, ignored = in_common(LIVE, RUN, ["offsets"])
    assert [(table.name, table.key, table.columns) for table in found] == [
        ("t", {"id": "uuid", "at": "timestamptz"}, ["at", "id"])
    ]
    assert ignored == [
        "table only: only live",
        "table more: only in the run",
        "column t.gone: only live",
        "column t.new: only in the run",
        "table u: the primary key is another",
    ]


def test_a_row_differs_in_columns_or_is_not_there() -> None:
    assert difference({"id": "1"}, {"a": 1, "b": 2}, {"a": 1, "b": 3}).columns == ["b"]
    assert difference({"id": "1"}, None, {"a": 1})[1:] == (False, True, [])
    assert difference({"id": "1"}, {"a": 1}, None)[1:] == (True, False, [])
