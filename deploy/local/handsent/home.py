"""HANDSENT_HOME: the folder with a stack's data, which one supervisor holds at a time."""

import fcntl
import os
from pathlib import Path

from handsent.part import PartError


def make(path: Path) -> Path:
    """The folder, made if need be. An existing one keeps the rights its owner gave it."""
    home = path.expanduser().resolve()
    # As root, Postgres is another user's process and passes through; what is private inside is closed by itself.
    if not home.exists():
        home.mkdir(parents=True)
        home.chmod(0o711 if os.geteuid() == 0 else 0o700)
    return home


def hold(home: Path) -> int:
    """Takes the home for this process, until it ends, however it ends. Raises PartError when somebody else has it."""
    handle = os.open(home / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(handle, 20).decode().strip() or "not known yet"
        os.close(handle)
        raise PartError(f"a stack already runs in {home} (pid {holder}); stop it, or set HANDSENT_HOME") from None
    os.ftruncate(handle, 0)
    os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
    return handle
