"""Reports on disk for a while, so that a download that broke off can be continued; bounded, and nobody's to read.

A spool is a file without a name: it is gone with the process, however that ends. What is in it is encrypted under a key
that is only in this process's memory.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from secrets import token_bytes, token_hex
from tempfile import TemporaryFile

from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

PIECE = 256 * 1024
_BLOCK = 16
KEPT_S = 900.0  # since it was last read


class Broken(Exception):
    """What is asked for will never be whole."""


class Spool:
    """Bytes that are written once, from the beginning on, and read any number of times, meanwhile or later."""

    def __init__(self, spools: "Spools") -> None:
        self.id = token_hex(16)
        self.size, self.ended, self.broken = 0, False, False
        self.readers = 0
        self.touched = asyncio.get_running_loop().time()
        self._spools = spools
        self._file = TemporaryFile(buffering=0)  # noqa: SIM115  closed by `close`
        self._key = AES(token_bytes(32))
        self._encryptor = self._stream(0)
        self._changed = asyncio.Event()

    def _stream(self, at: int) -> CipherContext:
        """The cipher from this byte on, which begins a block."""
        return Cipher(self._key, CTR((at // _BLOCK).to_bytes(_BLOCK))).encryptor()

    def append(self, piece: bytes) -> None:
        """Raises Broken when there is no room."""
        self._spools.make_room(len(piece))
        sealed = memoryview(self._encryptor.update(piece))
        while sealed:
            sealed = sealed[self._file.write(sealed) :]
        self.size += len(piece)
        self._wake()

    def end(self, broken: bool = False) -> None:
        self.ended, self.broken = True, broken
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def whole(self) -> int:
        """Its size, once it is all there. Raises Broken."""
        while not self.ended:
            await self._changed.wait()
        self._check()
        return self.size

    async def read(self, first: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """The bytes from `first` to before `end`, as they come. Raises Broken."""
        self.readers += 1
        try:
            while end is None or first < end:
                self._check()
                changed, size = self._changed, min(self.size, self.size if end is None else end)
                if first < size:
                    piece = self._read(first, min(PIECE, size - first))
                    first += len(piece)
                    self.touched = asyncio.get_running_loop().time()
                    yield piece
                elif self.ended:
                    return
                else:
                    await changed.wait()
        finally:
            self.readers -= 1

    def _check(self) -> None:
        if self.broken or self._file.closed:
            raise Broken("the report was not finished, or is not kept any more")

    def _read(self, first: int, length: int) -> bytes:
        skip = first % _BLOCK
        sealed = os.pread(self._file.fileno(), length + skip, first - skip)
        return self._stream(first - skip).update(sealed)[skip:]

    def close(self) -> None:
        self._file.close()
        self._wake()


class Spools:
    """All spools of this process: together they take no more than `most` bytes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: dict[str, Spool] = {}

    def new(self) -> Spool:
        spool = Spool(self)
        self._kept[spool.id] = spool
        return spool

    def size(self) -> int:
        return sum(spool.size for spool in self._kept.values())

    def make_room(self, wanted: int) -> None:
        """Gives up finished ones that nobody reads, oldest first. Raises Broken when that is not enough."""
        idle = iter([spool for spool in self._kept.values() if spool.ended and not spool.readers])
        while self.size() + wanted > self._most:
            spool = next(idle, None)
            if spool is None:
                raise Broken("there is no room for another report")
            self.forget(spool)

    def forget(self, spool: Spool) -> None:
        """It is closed; who still reads it is broken off."""
        self._kept.pop(spool.id, None)
        spool.close()

    async def keep(self, spool: Spool) -> None:
        """Until it was not read for a while."""
        now = asyncio.get_running_loop().time
        while (left := spool.touched + KEPT_S - now()) > 0:
            await asyncio.sleep(left)
        self.forget(spool)
