"""Ends what an earlier run of the same home left behind, and nothing else.

Parts are known by two marks in their environment, the home and the part's name. A pid file could be stale, its pid
long given to somebody else; the marks are the process's own. Postgres overwrites its environment to show a title, but
all of its processes work in the data folder.
"""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from handsent.part import HOME_MARK, PART_MARK, POLL_S, PartError


def end(home: Path, part: str | None = None, data: Path | None = None, timeout_s: float = 5.0) -> None:
    """Ends every process of the home (of one part of it, if named) and every one that works in the folder `data`."""
    deadline = time.monotonic() + timeout_s
    while left := list(_find(home, part, data)):
        for pid in left:
            _kill(pid, home, part, data)
        if time.monotonic() > deadline:
            raise PartError(f"processes of an earlier run do not end: {', '.join(map(str, left))}")
        time.sleep(POLL_S)


def _find(home: Path, part: str | None, data: Path | None) -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid() and _belongs(entry, home, part, data):
            yield int(entry.name)


def _belongs(entry: Path, home: Path, part: str | None, data: Path | None) -> bool:
    try:
        environment = (entry / "environ").read_bytes().split(b"\0")
        name = f"{PART_MARK}={part or ''}".encode()
        marked = f"{HOME_MARK}={home}".encode() in environment and any(
            line == name if part else line.startswith(name) for line in environment
        )
        works_there = data is not None and (entry / "cwd").readlink() == data and _is_postgres(entry)
    except OSError:  # it ended meanwhile, or it is somebody else's
        return False
    return (marked or works_there) and not _is_dead(entry)


def _is_postgres(entry: Path) -> bool:
    return (entry / "exe").readlink().name.split(" ")[0] == "postgres"  # " (deleted)" may follow


def _is_dead(entry: Path) -> bool:
    return (entry / "stat").read_text().rpartition(")")[2].split()[0] == "Z"


def _kill(pid: int, home: Path, part: str | None, data: Path | None) -> None:
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return
    try:
        # The handle is bound to one process: checked again through it, the pid cannot have changed hands.
        if _belongs(Path("/proc") / str(pid), home, part, data):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
    except ProcessLookupError:
        pass
    finally:
        os.close(handle)
