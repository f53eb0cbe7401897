"""A recipient's own data as those who may see it see it; and what is left of whom nobody can see any more."""

from functools import lru_cache
from typing import NamedTuple

import orjson
from kernel.seal import CELLS, NUMBER, Key, Tampered, unseal

from projections.columns import column_of


class Person(NamedTuple):
    """A recipient's number and the list's cells. Without the key there are none, only the list's headers."""

    phone: str | None
    cells: dict[str, str]
    named: tuple[str, str] = ("", "")  # the columns of the first and the last name

    @property
    def first_name(self) -> str:
        return self.cells.get(self.named[0], "")

    @property
    def last_name(self) -> str:
        return self.cells.get(self.named[1], "")


class _Header(NamedTuple):
    """A list's columns, and which of them name people."""

    names: tuple[str, ...]
    named: tuple[str, str]


@lru_cache(maxsize=1024)
def _header(columns: str | None) -> _Header:
    """What is the same for all rows of a list."""
    names = tuple(orjson.loads(columns)) if columns else ()
    return _Header(names, (column_of("first_name", names), column_of("last_name", names)))


def person(key: Key | None, phone: str | None, columns: str | None, cells: str | None) -> Person:
    """The person of a stored row: the sealed number, the headers, the sealed cells.

    A row that was tampered with is blank like an erased one's: the report is everybody else's, too.
    """
    names, named = _header(columns)
    try:
        said, number = unseal(key, CELLS, cells) if cells else None, unseal(key, NUMBER, phone) if phone else None
    except Tampered:
        said = number = None
    return Person(
        number, dict(zip(names, orjson.loads(said), strict=True)) if said else dict.fromkeys(names, ""), named
    )
