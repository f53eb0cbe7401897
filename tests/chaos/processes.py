"""The processes of one home, found through /proc by what is the process's own; and their violent ends."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

GONE_S = 10.0


def of(home: Path, part: str | None = None) -> list[int]:
    """Every process of the home, the supervisor too; or those of one part. Postgres' are all of its family."""
    return [pid for pid in _all() if _belongs(pid, home, part)]


def kill(pids: list[int]) -> None:
    """kill -9, and they are gone when this returns."""
    for pid in pids:
        signal_to(pid, signal.SIGKILL)
    deadline = time.monotonic() + GONE_S
    while any(map(lives, pids)):
        assert time.monotonic() < deadline, "killed processes do not go"
        time.sleep(0.01)


def signal_to(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _all() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _belongs(pid: int, home: Path, part: str | None) -> bool:
    entry = Path("/proc") / str(pid)
    try:
        # Postgres overwrites its environment to show a title, but all of its processes work in its data folder.
        if (entry / "cwd").readlink() == home / "postgres" / "data" and (entry / "exe").readlink().name == "postgres":
            return part in (None, "postgres")
        environment = (entry / "environ").read_bytes().split(b"\0")
    except OSError:
        return False
    if f"HANDSENT_HOME={home}".encode() not in environment or pid == os.getpid():
        return False
    return part is None or f"HANDSENT_PART={part}".encode() in environment


def lives(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
