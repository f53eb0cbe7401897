"""Merkle trees as in RFC 6962: one hash that stands for a list, and proofs that some of it are in it.

A leaf is hashed behind 0x00 and a node behind 0x01, so that no leaf can pass for a node.
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence

HASH_BYTES = 32
EMPTY = hashlib.sha256(b"").digest()


class BadProof(ValueError):
    """The hashes of a proof are too few, too many, or of another tree."""


def leaf(said: bytes) -> bytes:
    """The hash of an entry."""
    return hashlib.sha256(b"\x00" + said).digest()


def node(left: bytes, right: bytes) -> bytes:
    """The hash of two halves."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """The hash of the list. Pair by pair, the odd one passed on, gives the RFC's split at the largest power of two."""
    if not leaves:
        return EMPTY
    level = list(leaves)
    while len(level) > 1:
        odd = level[-1:] if len(level) % 2 else []
        level = [node(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)] + odd
    return level[0]


def proof(leaves: Sequence[bytes], shown: Collection[int]) -> list[bytes]:
    """What one needs beside the leaves at `shown` to compute the root: of each part of the tree without any of them
    its root, from left to right. For one leaf these are the hashes of the RFC's audit path."""
    wanted = sorted(set(shown))
    if wanted and not 0 <= wanted[0] <= wanted[-1] < len(leaves):
        raise IndexError("no such leaf")
    return list(_untold(leaves, wanted, 0, len(leaves))) if leaves else []


def _untold(leaves: Sequence[bytes], wanted: Sequence[int], first: int, end: int) -> Iterator[bytes]:
    if not wanted:
        yield root(leaves[first:end])
    elif end - first > 1:
        middle = first + _split(end - first)
        yield from _untold(leaves, [at for at in wanted if at < middle], first, middle)
        yield from _untold(leaves, [at for at in wanted if at >= middle], middle, end)


def root_from(size: int, shown: Mapping[int, bytes], hashes: Sequence[bytes]) -> bytes:
    """The root of a tree of `size` leaves, of which `shown` are told and `hashes` are their proof. Raises BadProof."""
    if any(not 0 <= at < size for at in shown):
        raise BadProof("a leaf has no place in the tree")
    rest = iter(hashes)
    found = _computed(shown, sorted(shown), 0, size, rest) if size else EMPTY
    if next(rest, None) is not None:
        raise BadProof("hashes are left over")
    return found


def _computed(shown: Mapping[int, bytes], wanted: Sequence[int], first: int, end: int, rest: Iterator[bytes]) -> bytes:
    if not wanted:
        untold = next(rest, None)
        if untold is None:
            raise BadProof("hashes are missing")
        return untold
    if end - first == 1:
        return shown[first]
    middle = first + _split(end - first)
    left = _computed(shown, [at for at in wanted if at < middle], first, middle, rest)
    return node(left, _computed(shown, [at for at in wanted if at >= middle], middle, end, rest))


def _split(size: int) -> int:
    """The largest power of two below `size`."""
    return 1 << (size - 1).bit_length() - 1
