"""Statements by name."""

from importlib import resources

import pytest
from kernel.database import Queries, load_queries

TEXT = """
-- What stands before the first name is nobody's.
-- name: first
-- A line of purpose.
SELECT 1;

-- name: second_one
-- Semicolons inside stay.
SELECT ';'
  FROM t;
"""


def test_each_statement_goes_by_its_name_without_its_last_semicolon() -> None:
    q = Queries(TEXT)
    assert q.first == "-- A line of purpose.\nSELECT 1"
    assert q.second_one.endswith("SELECT ';'\n  FROM t")


def test_a_name_nobody_gave_says_so() -> None:
    with pytest.raises(AttributeError, match="no statement is named third"):
        _ = Queries(TEXT).third


@pytest.mark.parametrize("package", ["send_intake", "scheduler", "dispatcher", "projections"])
def test_no_service_gives_a_name_twice(package: str) -> None:
    names = [
        line.split()[2]
        for line in resources.files(package).joinpath("sql/queries.sql").read_text().splitlines()
        if line.startswith("-- name: ")
    ]
    assert len(names) == len(set(names))
    q = load_queries(package)
    assert all(getattr(q, name) for name in names)
