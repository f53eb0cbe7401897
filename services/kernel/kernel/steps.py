"""Named steps at which a test can have a process killed or frozen; nothing happens unless STEPS_DIR names a folder.

A file `<service>.<step>` in it that says KILL or STOP arms the step, at any time. The first process to reach it renames
the file to `<service>.<step>@<pid>`, so that exactly one acts on it and the test knows which.
"""

import os
import signal
from pathlib import Path

SIGNALS = {"KILL": signal.SIGKILL, "STOP": signal.SIGSTOP}

_watched: Path | None = None  # `<folder>/<service>`


def watch(service: str, folder: str) -> None:
    """From now on the steps of this process are those of `service`, armed in `folder`; with none, never."""
    global _watched
    _watched = Path(folder) / service if folder else None


def reached(step: str) -> None:
    """The work has come to this step; armed, it goes no further."""
    if _watched is not None:
        _act(_watched.with_name(f"{_watched.name}.{step}"))


def _act(armed: Path) -> None:
    claimed = armed.with_name(f"{armed.name}@{os.getpid()}")
    try:
        armed.rename(claimed)
    except FileNotFoundError:
        return
    # To this very thread, which takes it before the call returns; sent to the process, another thread might first.
    signal.raise_signal(SIGNALS[claimed.read_text().strip()])
