"""A part of the stack: one process of its own, and what it takes to start, recognise and end it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

LAUNCH = Path(__file__).with_name("launch.py")
# Marks a process, and whatever it starts, as a part of one home; see `leftovers`.
HOME_MARK = "HANDSENT_HOME"
PART_MARK = "HANDSENT_PART"
LOG_BYTES = 10_000_000
POLL_S = 0.05


class PartError(Exception):
    """A part cannot run here. The message is one line for a person."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The operating-system user a part becomes; `keep_reach` when it must pass folders that only root may enter."""

    uid: int = -1
    gid: int = -1
    keep_reach: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """`prepare` runs before every start, `ready` says whether it serves; both may block, for a second at most or so."""

    name: str
    home: Path
    argv: tuple[str, ...]
    port: int
    ready: Callable[[], bool]
    prepare: Callable[[], None] = lambda: None
    env: Mapping[str, str] = field(default_factory=dict)
    identity: Identity = Identity()
    stop_signal: int = signal.SIGTERM
    # What the kernel sends it when the supervisor dies.
    death_signal: int = signal.SIGKILL
    stop_timeout_s: float = 10.0
    # Parts of a higher layer use those below them, and stop before them.
    layer: int = 0

    @property
    def log(self) -> Path:
        return self.home / "logs" / f"{self.name}.log"

    def command(self) -> list[str]:
        """The whole command line. The main thread must start it: the kernel takes the thread's end for the parent's."""
        who = self.identity
        tie = (self.death_signal, os.getpid(), who.uid, who.gid, int(who.keep_reach))
        return [sys.executable, "-I", "-S", str(LAUNCH), *map(str, tie), *self.argv]

    def environment(self) -> dict[str, str]:
        """Parts get what they are given and the bare minimum, so that no secret reaches one that has no use for it."""
        passed = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "VIRTUAL_ENV") if name in os.environ}
        return {**passed, **self.env, HOME_MARK: str(self.home), PART_MARK: self.name}

    def open_log(self) -> int:
        """The log's file descriptor; a log that has grown large is put aside first, one generation is kept."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        return os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def start(part: Part, timeout_s: float = 30.0) -> subprocess.Popen[bytes]:
    """Starts one part outside a supervisor and waits until it serves. A start that fails at once is tried again."""
    deadline = time.monotonic() + timeout_s
    while True:
        part.prepare()
        process = spawn(part)
        while process.poll() is None and time.monotonic() < deadline:
            if part.ready():
                return process
            time.sleep(POLL_S)
        if time.monotonic() >= deadline:
            stop(part, process)
            raise PartError(f"{part.name} did not start within {timeout_s:.0f} s; see {part.log}")
        time.sleep(10 * POLL_S)


def spawn(part: Part) -> subprocess.Popen[bytes]:
    """The part's process, just started; its output goes to its log."""
    log = part.open_log()
    try:
        # A session of its own: Ctrl-C in the terminal is for the supervisor, which stops the parts in order.
        return subprocess.Popen(
            part.command(),
            env=part.environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    finally:
        os.close(log)


def stop(part: Part, process: subprocess.Popen[bytes]) -> None:
    """Ends the process by its signal, and by SIGKILL if it takes too long."""
    process.send_signal(part.stop_signal)
    try:
        process.wait(part.stop_timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
