"""Changes a stopped broker's log on disk as somebody would who knows how: the checksums are right afterwards."""

import struct
from pathlib import Path

from aiokafka.record.util import calc_crc32c

HEAD = struct.Struct(">qi")  # base offset, length of what follows
CRC, CHECKED = 17, 21  # where the checksum stands, and what it covers


class Segment:
    """The one segment of a partition, as its batches."""

    def __init__(self, home: Path, topic: str, partition: int) -> None:
        self._folder = home / "kafka" / "data" / f"{topic}-{partition}"
        (self._path,) = self._folder.glob("*.log")
        data, at = self._path.read_bytes(), 0
        self.batches: list[bytes] = []
        while at < len(data):
            size = HEAD.size + HEAD.unpack_from(data, at)[1]
            self.batches.append(data[at : at + size])
            at += size

    def holding(self, said: bytes) -> int:
        """The number of the batch with these bytes in it."""
        (found,) = [number for number, batch in enumerate(self.batches) if said in batch]
        return found

    def write(self, as_long: bool = False) -> None:
        """`as_long`: the index stays right, and the broker does not look at the segment before somebody reads it."""
        self._path.write_bytes(b"".join(self.batches))
        for index in () if as_long else (*self._folder.glob("*.index"), *self._folder.glob("*.timeindex")):
            index.unlink()  # the broker makes them again


def edited(batch: bytes, said: bytes, instead: bytes) -> bytes:
    """The batch with other bytes of the same length, and the checksum that belongs to it."""
    assert batch.count(said) == 1 and len(said) == len(instead)
    changed = batch.replace(said, instead)
    crc: int = calc_crc32c(changed[CHECKED:])
    return changed[:CRC] + struct.pack(">I", crc) + changed[CRC + 4 :]


def at(batch: bytes, offset: int) -> bytes:
    """The batch in another place; the checksum does not cover it."""
    return struct.pack(">q", offset) + batch[8:]


def offset_of(batch: bytes) -> int:
    return int(struct.unpack_from(">q", batch)[0])
