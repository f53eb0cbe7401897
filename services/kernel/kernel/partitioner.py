"""Kafka's default partitioner (murmur2 of the key), over many keys at once.

Ours are UUIDs of 36 bytes. aiokafka's own, in Python, costs 6 µs a key and would be a tenth of a message's life.
"""

from collections.abc import Sequence

import numpy as np
from aiokafka.partitioner import murmur2

KEY_BYTES = 36
_M = np.uint32(0x5BD1E995)
_SEED = np.uint32(0x9747B28C)


def partitions_of(keys: Sequence[bytes | None], count: int) -> list[int]:
    """The partition, 0 to count - 1, of each key; records without a key go to partition 0."""
    if len(keys) > 8 and all(key is not None and len(key) == KEY_BYTES for key in keys):
        return [int(p) for p in (_murmur2_of_uuids(keys) & np.uint32(0x7FFFFFFF)) % np.uint32(count)]  # type: ignore[arg-type]
    return [0 if key is None else (murmur2(key) & 0x7FFFFFFF) % count for key in keys]


def _murmur2_of_uuids(keys: Sequence[bytes]) -> "np.ndarray[tuple[int], np.dtype[np.uint32]]":
    words = np.frombuffer(b"".join(keys), dtype="<u4").reshape(len(keys), KEY_BYTES // 4)
    with np.errstate(over="ignore"):
        h = np.full(len(keys), _SEED ^ np.uint32(KEY_BYTES), dtype=np.uint32)
        for column in range(KEY_BYTES // 4):
            k = words[:, column] * _M
            k ^= k >> np.uint32(24)
            h = (h * _M) ^ (k * _M)
        h ^= h >> np.uint32(13)
        h *= _M
        h ^= h >> np.uint32(15)
    return h
