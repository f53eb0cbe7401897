"""A partition's records block by block: a block is a span of offsets, so that everybody cuts at the same places."""

from collections.abc import Callable
from typing import NamedTuple

from handsent.audit import merkle

BLOCK = 4096  # offsets: a proof for one record has 12 hashes, a million records have 250 roots


class Block(NamedTuple):
    """What is signed of a block. Kafka may leave offsets out, so there can be fewer records than offsets."""

    records: int
    root: bytes


class Cut(NamedTuple):
    """A block as it was read: the offsets that have a record, and their leaves."""

    first: int
    offsets: list[int]
    leaves: list[bytes]

    @property
    def block(self) -> Block:
        return Block(len(self.leaves), merkle.root(self.leaves))


def count(first: int, end: int, size: int) -> int:
    """How many blocks the offsets from `first` up to `end` make."""
    return -(-(end - first) // size)


class Cutter:
    """Takes the leaves of a span of one partition in the order of their offsets and hands on each block when it is
    whole, also one without records."""

    def __init__(self, first: int, end: int, size: int, whole: Callable[[Cut], None]) -> None:
        self._end, self._size, self._whole = end, size, whole
        self._cut = Cut(first, [], [])

    def add(self, offset: int, leaf: bytes) -> int:
        """The leaf's place in its block."""
        self.until(offset)
        self._cut.offsets.append(offset)
        self._cut.leaves.append(leaf)
        return len(self._cut.leaves) - 1

    def until(self, offset: int) -> None:
        """All leaves before the offset were added: blocks that end there or before are whole."""
        while self._cut.first + self._size <= offset:
            self._next()

    def finish(self) -> None:
        while self._cut.first < self._end:
            self._next()

    def _next(self) -> None:
        whole, self._cut = self._cut, Cut(self._cut.first + self._size, [], [])
        self._whole(whole)


def differing(was: Cut, found: Cut) -> list[str]:
    """The offsets at which two readings of a block differ, each with what is different."""
    before, now = dict(zip(was.offsets, was.leaves, strict=True)), dict(zip(found.offsets, found.leaves, strict=True))
    gone = [(offset, "is gone") for offset in before.keys() - now.keys()]
    new = [(offset, "was not there") for offset in now.keys() - before.keys()]
    other = [(o, "does not say what it said") for o in before.keys() & now.keys() if before[o] != now[o]]
    return [f"offset {offset} {what}" for offset, what in sorted(gone + new + other)]
