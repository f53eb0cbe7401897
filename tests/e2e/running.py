"""A stack of the tests' own, started and ended as a person would: `handsent up`, and its signals."""

import ctypes
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PORTS = ("INTAKE_PORT", "SCHEDULER_PORT", "DISPATCHER_PORT", "PROJECTIONS_PORT", "CARRIER_PORT")
SERVICES = {
    "send-intake": "INTAKE_PORT",
    "scheduler": "SCHEDULER_PORT",
    "dispatcher": "DISPATCHER_PORT",
    "projections": "PROJECTIONS_PORT",
}
HANDSENT = Path(sys.executable).with_name("handsent")
START_S = 120.0
STOP_S = 60.0
COMMAND_S = 60.0
LIBC, PR_SET_PDEATHSIG = ctypes.CDLL(None), 1


class Running:
    """`handsent up` in a home and on ports of its own; `start` again goes on where it was."""

    def __init__(self, home: Path, **settings: str) -> None:
        self.home = home
        self.said = home.with_name(home.name + ".said")
        self.settings = {**_free_ports(), **settings}
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        inherited = {k: v for k, v in os.environ.items() if not k.endswith(("_PORT", "_URL", "_BOOTSTRAP"))}
        return {**inherited, **self.settings, "HANDSENT_HOME": str(self.home)}

    def url(self, port: str = "INTAKE_PORT") -> str:
        return f"http://127.0.0.1:{self.settings[port]}"

    def start(self) -> float:
        """Seconds until it said that it is ready."""
        self.launch()
        return self.until_ready()

    def launch(self) -> None:
        """For the main thread: the stack ends with the thread that started it, also when a test is killed."""
        self.home.parent.mkdir(parents=True, exist_ok=True)
        self._began = time.monotonic()
        self._said_before = self.said.stat().st_size if self.said.exists() else 0
        with self.said.open("ab") as output:
            self.process = subprocess.Popen(
                [HANDSENT, "up"],
                env=self.environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=_end_with_the_parent,
            )

    def until_ready(self) -> float:
        assert self.process is not None
        while b"ready in" not in self.said.read_bytes()[self._said_before :]:
            if self.process.poll() is not None or time.monotonic() - self._began > START_S:
                raise AssertionError(f"the stack did not start: {self.said.read_text()[-2000:]}")
            time.sleep(0.05)
        return time.monotonic() - self._began

    def stop(self) -> int:
        """Its exit code after SIGTERM."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_S)

    def handsent(self, *arguments: str, within_s: float = COMMAND_S) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [HANDSENT, *arguments], env=self.environment, capture_output=True, text=True, timeout=within_s
        )

    def token(self, name: str, role: str, account: str) -> str:
        done = self.handsent("user", "add", name, "--role", role, "--account", account)
        assert done.returncode == 0, done.stderr
        token = done.stdout.strip()
        assert token and not any(map(str.isspace, token)), "the token is alone on stdout"
        return token

    def status(self) -> dict[str, Any]:
        about: dict[str, Any] = json.loads(self.handsent("status", "--json").stdout)
        return about


def _end_with_the_parent() -> None:
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _free_ports() -> dict[str, str]:
    """Below Linux's ephemeral ports: there, any outgoing connection could take one before the stack does."""
    free = (port for port in random.sample(range(20_000, 32_000), 1000) if _is_free(port))
    return {name: str(next(free)) for name in PORTS}


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0
