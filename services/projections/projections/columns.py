"""Which of a list's columns is meant by a name."""

from collections.abc import Iterable


def is_name(column: str, name: str) -> bool:
    """Whether a list's column is the report's `first_name` (or `last_name`): case, spaces, underscores aside."""
    return column.replace(" ", "").replace("_", "").lower() == name.replace("_", "")


def column_of(name: str, columns: Iterable[str]) -> str:
    """The column that a merge field of this name takes: as it is spelled, else the first in the alphabet."""
    alike = sorted(column for column in columns if is_name(column, name))
    return name if name in alike else next(iter(alike), "")
