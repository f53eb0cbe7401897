"""What the tables of a run and the live ones have in common, and how they differ."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from kernel.verdict import Difference, Position, Refused


class Column(NamedTuple):
    """A column of a table; `in_key` is its place in the primary key, from 0, or None."""

    table: str
    column: str
    type: str
    in_key: int | None


class Common(NamedTuple):
    """A table that both have: its key with the types, and all columns that both have."""

    name: str
    key: dict[str, str]
    columns: list[str]


@dataclass(frozen=True)
class Compared:
    """A table: its rows and their checksum on each side, how many keys differ, and the first of those."""

    name: str
    live_rows: int
    run_rows: int
    live_checksum: str
    run_checksum: str
    differing: int
    differences: list[Difference]


@dataclass(frozen=True)
class Comparison:
    """Run against live, both at these offsets. `ignored`: what only one of them has, or what has no common key."""

    tables: list[Compared]
    ignored: list[str]
    refused: list[Refused]
    until: Mapping[Position, int]
    seconds: float

    @property
    def equal(self) -> bool:
        return not self.refused and not any(table.differing for table in self.tables)

    @property
    def events(self) -> int:
        return sum(self.until.values())


def in_common(live: Iterable[Column], run: Iterable[Column], but: Iterable[str]) -> tuple[list[Common], list[str]]:
    """The tables to compare, without those of `but`, and in words what of them only one side has."""
    ours, theirs = _tables(live, set(but)), _tables(run, set(but))
    ignored = [f"table {name}: only live" for name in sorted(ours.keys() - theirs.keys())]
    ignored += [f"table {name}: only in the run" for name in sorted(theirs.keys() - ours.keys())]
    found = []
    for name in sorted(ours.keys() & theirs.keys()):
        mine, other = ours[name], theirs[name]
        ignored += [f"column {name}.{column}: only live" for column in sorted(mine.keys() - other.keys())]
        ignored += [f"column {name}.{column}: only in the run" for column in sorted(other.keys() - mine.keys())]
        key = _key(mine)
        if not key or key != _key(other):
            ignored.append(f"table {name}: the primary key is another")
        else:
            types = {column: mine[column].type for column in key}
            found.append(Common(name, types, sorted(mine.keys() & other.keys())))
    return found, ignored


def _tables(columns: Iterable[Column], but: set[str]) -> dict[str, dict[str, Column]]:
    tables: dict[str, dict[str, Column]] = {}
    for column in columns:
        if column.table not in but:
            tables.setdefault(column.table, {})[column.column] = column
    return tables


def _key(columns: Mapping[str, Column]) -> list[str]:
    placed = [(column.in_key, column.column) for column in columns.values() if column.in_key is not None]
    return [name for _, name in sorted(placed)]


def difference(key: Mapping[str, str], live: Mapping[str, Any] | None, run: Mapping[str, Any] | None) -> Difference:
    """How a row differs; None is a row that is not there. Columns that both have."""
    if live is None or run is None:
        return Difference(dict(key), live is not None, run is not None, [])
    return Difference(dict(key), True, True, sorted(name for name in live if live[name] != run[name]))
