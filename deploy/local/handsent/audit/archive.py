"""The archive as a file: a zip that is the same for the same content, and one that is read without trusting it."""

import hashlib
import os
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from handsent.audit import manifest
from handsent.audit.log import Unreadable

SIGNATURE = "MANIFEST.sig"
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest a zip knows: when it was made is not part of it
LEVEL = 1  # 6 makes it a tenth smaller and takes three times as long
CHUNK = 1 << 20
MOST_FILES, MOST_RATIO, SMALL = 100_000, 200, 1 << 20
LONGEST_LINE = 32 * CHUNK  # Kafka takes records of up to 8 MB; base64 and JSON make more of them
LARGEST_PART = 64 * CHUNK  # of what is read as a whole
Said = TypeVar("Said")
BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError)


class Damaged(Exception):
    """A file of the archive cannot be unpacked; the message names it."""


class Writer:
    """Adds one file after another, and at the end their sums."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._sums: dict[str, str] = {}

    @contextmanager
    def file(self, name: str) -> Iterator[Callable[[bytes], object]]:
        """What appends to the file."""
        info = zipfile.ZipInfo(name, EPOCH)
        info.compress_type, info.create_system, info.external_attr = zipfile.ZIP_DEFLATED, 3, 0o644 << 16
        info._compresslevel = LEVEL  # type: ignore[attr-defined]  # it is taken from the file's name only otherwise
        hashed = hashlib.sha256()
        with self._archive.open(info, "w", force_zip64=True) as out:

            def append(said: bytes) -> None:
                hashed.update(said)
                out.write(said)

            yield append
        self._sums[name] = hashed.hexdigest()

    def put(self, name: str, said: bytes) -> None:
        with self.file(name) as append:
            append(said)

    def finish(self, key: Ed25519PrivateKey | None) -> str:
        """Writes MANIFEST, signed if there is a key; returns its SHA-256, which stands for the whole archive."""
        said = manifest.text(self._sums).encode()
        self.put(manifest.NAME, said)
        if key is not None:
            self.put(SIGNATURE, key.sign(said))
        return hashlib.sha256(said).hexdigest()


@contextmanager
def writing(path: Path, private: bool) -> Iterator[Writer]:
    """The archive appears under its name when it is whole; `private`, only its owner may read it."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600 if private else 0o644)
        with os.fdopen(descriptor, "w+b") as file, zipfile.ZipFile(file, "w") as archive:
            yield Writer(archive)
        part.replace(path)
    except OSError as error:
        raise Unreadable(f"{path}: {error.strerror or error}") from None
    finally:
        part.unlink(missing_ok=True)


class Archive:
    """An archive of somebody's: nothing of it is believed, and no part of it takes more room than it is worth."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self.names = {info.filename for info in archive.infolist()}

    def sums(self) -> tuple[dict[str, str], list[str]]:
        """Name -> SHA-256 of every file, and a line for each that cannot be unpacked."""
        found, broken = {}, []
        for name in sorted(self.names):
            hashed = hashlib.sha256()
            try:
                for chunk in self._chunks(name):
                    hashed.update(chunk)
            except Damaged as error:
                broken.append(str(error))
            else:
                found[name] = hashed.hexdigest()
        return found, broken

    def _chunks(self, name: str) -> Iterator[bytes]:
        with self._open(name) as file:
            while chunk := _careful(name, file.read, CHUNK):
                yield chunk

    def lines(self, name: str) -> Iterator[bytes]:
        """A file's lines, one after another. Raises Damaged."""
        with self._open(name) as file:
            while line := _careful(name, file.readline, LONGEST_LINE):
                if len(line) == LONGEST_LINE:
                    raise Damaged(f"{name} has a line without end")
                yield line

    def read(self, name: str) -> bytes:
        """A small file. Raises Damaged."""
        with self._open(name) as file:
            said = _careful(name, file.read, LARGEST_PART + 1)
        if len(said) > LARGEST_PART:
            raise Damaged(f"{name} is too large")
        return said

    @contextmanager
    def _open(self, name: str) -> Iterator[IO[bytes]]:
        if name not in self.names:
            raise Damaged(f"{name} is missing")
        file = _careful(name, self._archive.open, name)
        with file:
            yield file


def _careful(name: str, do: Callable[..., Said], *arguments: object) -> Said:
    try:
        return do(*arguments)
    except BROKEN as error:
        raise Damaged(f"{name} is damaged: {error}") from None


@contextmanager
def opened(path: Path) -> Iterator[Archive]:
    """Raises Unreadable for what is no archive, or one that would swell."""
    try:
        size = path.stat().st_size
        with zipfile.ZipFile(path) as archive:
            _refuse(path, archive.infolist(), size)
            yield Archive(archive)
    except OSError as error:
        raise Unreadable(f"{path}: {error.strerror or error}") from None
    except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError) as error:
        raise Unreadable(f"{path}: it is no zip, or has been cut off: {error}") from None


def _refuse(path: Path, files: Iterable[zipfile.ZipInfo], size: int) -> None:
    """Raises Unreadable for names twice, parts that overlap, and what unpacks to far more than it is."""
    files = list(files)
    if len(files) > MOST_FILES or len({info.filename for info in files}) != len(files):
        raise Unreadable(f"{path}: it holds too many files, or one twice")
    packed, unpacked = sum(info.compress_size for info in files), sum(info.file_size for info in files)
    if packed > size or unpacked > max(SMALL, packed * MOST_RATIO):
        raise Unreadable(f"{path}: it would unpack to {unpacked} bytes out of {size}, which no export does")


def is_archive(path: Path) -> bool:
    """Whether a file is meant to be an export rather than a checkpoint."""
    try:
        with path.open("rb") as file:
            return file.read(2) == b"PK"
    except OSError as error:
        raise Unreadable(f"{path}: {error.strerror}") from None
