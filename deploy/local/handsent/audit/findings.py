"""What a check found, a line each; of the same kind no more than one can read."""

from collections import Counter
from collections.abc import Iterable, Iterator

SHOWN = 20


class Findings:
    """Keeps the first of each kind and counts the rest."""

    def __init__(self) -> None:
        self._lines: dict[str, list[str]] = {}
        self._counts: Counter[str] = Counter()

    def add(self, kind: str, line: str) -> None:
        """`kind` says in words what the lines have in common."""
        self._counts[kind] += 1
        shown = self._lines.setdefault(kind, [])
        if len(shown) < SHOWN:
            shown.append(line)

    def extend(self, kind: str, lines: Iterable[str]) -> None:
        for line in lines:
            self.add(kind, line)

    @property
    def total(self) -> int:
        return self._counts.total()

    def lines(self) -> Iterator[str]:
        for kind, shown in self._lines.items():
            yield from shown
            if self._counts[kind] > len(shown):
                yield f"and {self._counts[kind] - len(shown)} more of {kind}"

    def as_dict(self) -> dict[str, dict[str, object]]:
        """By kind: how many, and the first of them."""
        return {kind: {"found": self._counts[kind], "first": shown} for kind, shown in self._lines.items()}
