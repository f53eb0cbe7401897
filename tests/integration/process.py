"""One of our programs as a process of its own: a test starts it, kills it, freezes it."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from pathlib import Path

PATIENCE_S = 15.0


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class Process:
    """One of our programs, with its log; ended by its own pid."""

    def __init__(self, module: str, folder: Path, url: str, environment: dict[str, str]) -> None:
        self.url, self._probe = url, "/healthz" if module == "simulator" else "/readyz"
        self._module, self._log, self._environment = (
            module,
            folder / f"{module}-{uuid.uuid4().hex[:6]}.log",
            environment,
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Process":
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", self._module], env={**os.environ, **self._environment}, stdout=log, stderr=log
            )
        deadline = time.monotonic() + PATIENCE_S
        while not self._answers():
            assert self._process.poll() is None and time.monotonic() < deadline, self.log()
            time.sleep(0.05)
        return self

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}{self._probe}", timeout=1):
                return True
        except OSError:
            return False

    def log(self) -> str:
        return self._log.read_text()[-4000:]

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        if self._process is None:
            return 0
        self._process.send_signal(signal.SIGCONT)
        self._process.send_signal(number)
        code = self._process.wait(30)
        self._process = None
        return code
