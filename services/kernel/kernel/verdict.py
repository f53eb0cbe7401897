"""What comparing a service's live tables with those that were folded once more has found."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

Position = tuple[str, int]  # topic, partition


class Difference(NamedTuple):
    """A row that is not the same in both. `columns` are those that differ; none where one side lacks the row."""

    key: dict[str, str]
    live: bool
    folded: bool
    columns: list[str]


@dataclass(frozen=True)
class Table:
    """A table's live rows, how many keys differ, and the first of those."""

    name: str
    rows: int
    differing: int
    differences: list[Difference]


class Refused(NamedTuple):
    """An event that the service has folded, or written itself, and that cannot be folded now."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True)
class Verdict:
    """Whether the live tables are what the log says. `drifted` are campaigns whose live figures are no recount."""

    tables: list[Table]
    drifted: list[str]
    refused: list[Refused]
    events: int
    passed_over: int
    fold_s: float
    total_s: float

    @property
    def equal(self) -> bool:
        return not (self.drifted or self.refused or any(table.differing for table in self.tables))

    @property
    def events_per_second(self) -> int:
        return round(self.events / self.fold_s) if self.fold_s else 0


def missing(
    beginnings: Mapping[Position, int],
    ends: Mapping[Position, int],
    until: Mapping[Position, int],
    begun_later: frozenset[str] = frozenset(),
) -> str:
    """What the log lacks of the offsets 0 to `until`, in words; empty when it has them all.

    The topics `begun_later` are not kept for ever: of them it need not have the beginning.
    """
    for (topic, partition), end in sorted(until.items()):
        first, last = beginnings[topic, partition], ends[topic, partition]
        if first > 0 and topic not in begun_later:
            return f"{topic}-{partition} begins at offset {first}: what was before is gone, and cannot be folded again"
        if last < end:
            return f"{topic}-{partition} ends at offset {last}: the tables say that it reached {end}"
    return ""
