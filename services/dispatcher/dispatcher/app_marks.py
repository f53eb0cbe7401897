"""Which POSTs of a process may have begun, noted where a kill -9 does not reach: whatever else it had open never left.

Each process has a file of its own, mapped into its memory: what it notes there outlives it in the kernel, for less than
a microsecond a POST. Whoever finds its attempts open reads the file, if it can know that the file tells the truth:

- the owner is dead, on this machine: its lock on the file is free, which the kernel held for as long as the process was
  there, frozen or not. Attempts that are not noted never left.
- it is alive, or frozen: the lock is held, and nothing is known.
- it is on another machine, or died before this one was started: no such file, or another boot's. Nothing is known.
"""

import fcntl
import mmap
import os
import stat
import struct
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import structlog

log = structlog.get_logger()

Key = tuple[str, int]  # recipient_id, attempt

FOLDER = "handsent-marks"
BOOT = Path("/proc/sys/kernel/random/boot_id")
HEADER = 16  # the boot's id
SLOT = struct.Struct("=16sI?")  # recipient, attempt, whether its POST may have begun
SLOTS = 4096  # more than the connections there can be


class Marks:
    """A process's own notes; `name` is None where no file can be kept, and then nothing is noted."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or Path(tempfile.gettempdir()) / FOLDER
        self.name: str | None = str(uuid.uuid4())
        self._free = list(range(SLOTS))
        self._map: mmap.mmap | None = None
        try:
            self._open(self.folder / str(self.name))
        except OSError as error:
            self.name = None
            log.warning("marks_not_kept", error=repr(error))

    def _open(self, path: Path) -> None:
        boot = _boot()
        self.folder.mkdir(mode=0o700, exist_ok=True)
        _must_be_ours(self.folder)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        size = HEADER + SLOTS * SLOT.size
        os.posix_fallocate(self._file, 0, size)  # or a full disk would end the process at some later note
        self._map = mmap.mmap(self._file, size)
        self._map[:HEADER] = boot

    @contextmanager
    def open(self, key: Key) -> Iterator[Callable[[], None]]:
        """What it gives notes that a byte of the POST may leave now. To be left once the outcome is committed."""
        if self._map is None:
            yield lambda: None
            return
        slot = self._free.pop()
        at = HEADER + slot * SLOT.size
        recipient, attempt = uuid.UUID(key[0]).bytes, key[1]
        SLOT.pack_into(self._map, at, recipient, attempt, False)
        yield partial(self._map.__setitem__, at + SLOT.size - 1, True)
        # Not after an error: then the outcome is not committed, and the note stays.
        self._map[at + SLOT.size - 1] = False
        self._free.append(slot)

    def close(self) -> None:
        """Nothing is open any more."""
        if self.name is not None:
            (self.folder / self.name).unlink(missing_ok=True)
            os.close(self._file)


def begun(folder: Path, name: str) -> set[Key] | None:
    """The attempts of a dead process whose POSTs may have begun; None when that cannot be known here."""
    try:
        _must_be_ours(folder)
        file = os.open(folder / name, os.O_RDWR)
    except OSError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        content = os.pread(file, HEADER + SLOTS * SLOT.size, 0)
    except OSError:
        return None
    finally:
        os.close(file)
    if len(content) < HEADER + SLOTS * SLOT.size or content[:HEADER] != _boot():
        return None
    slots = SLOT.iter_unpack(content[HEADER:])
    return {(str(uuid.UUID(bytes=recipient)), attempt) for recipient, attempt, noted in slots if noted}


def forget(folder: Path, name: str) -> None:
    """Nothing of the dead process is open any more."""
    with suppress(OSError):
        (folder / name).unlink(missing_ok=True)


def _must_be_ours(folder: Path) -> None:
    """Raises PermissionError when somebody else could have written there."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise PermissionError(f"{folder} is not ours alone")


def _boot() -> bytes:
    return uuid.UUID(BOOT.read_text().strip()).bytes
