"""For tests: a whole `handsent up`, in a home of the test's own and on ports that are free."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from handsent import ports
from handsent.settings import SERVICE_PORTS

DEADLINE_S = 60.0
UP = (sys.executable, "-m", "handsent", "up")


class Up:
    """A `handsent up` that was just started: what it said, what it wrote down, and its end."""

    def __init__(self, home: Path, settings: Mapping[str, str], command: Sequence[str] = UP) -> None:
        self.home = home
        self.said = home.with_name(home.name + ".said")
        self.environment = {**os.environ, **settings, "HANDSENT_HOME": str(home)}
        with self.said.open("a") as output:
            self.process = subprocess.Popen(
                command, env=self.environment, stdout=output, stderr=output, start_new_session=True
            )

    def until_said(self, words: str, times: int = 1) -> None:
        until(lambda: self.said.read_text().count(words) >= times or self.process.poll() is not None)
        assert self.said.read_text().count(words) >= times, self.said.read_text()

    def stack(self) -> dict[str, Any]:
        """What it wrote down in stack.json."""
        about: dict[str, Any] = json.loads((self.home / "stack.json").read_text())
        return about

    def pids(self) -> dict[str, int]:
        return {part["name"]: part["pid"] for part in self.stack()["parts"]}

    def handsent(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs a client command against it."""
        command = [sys.executable, "-m", "handsent", *arguments]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=DEADLINE_S)

    def stop(self) -> int:
        """Its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE_S)


def until(true: Callable[[], bool], timeout_s: float = DEADLINE_S) -> None:
    """Polls until it is true; fails the test when it does not come true in time."""
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.05)


def free_settings() -> dict[str, str]:
    """A free port for every setting that names one."""
    chosen: list[int] = []
    for _ in SERVICE_PORTS:
        chosen.append(ports.pick(set(chosen)))
    return {name: str(port) for name, port in zip(SERVICE_PORTS, chosen, strict=True)}
