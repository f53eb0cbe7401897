"""A stack of the benchmark's own, in a folder of its own, on free ports."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

PORTS = ("INTAKE_PORT", "SCHEDULER_PORT", "DISPATCHER_PORT", "PROJECTIONS_PORT", "CARRIER_PORT")


@dataclass(frozen=True)
class Running:
    home: Path
    environment: dict[str, str]
    ready_s: float

    def port(self, name: str) -> int:
        return int(self.environment[name])

    def token(self, name: str, role: str, account: str) -> str:
        command = [sys.executable, "-m", "handsent", "user", "add", name, "--role", role, "--account", account]
        return subprocess.run(command, env=self.environment, check=True, capture_output=True, text=True).stdout.strip()

    def parts(self) -> dict[str, int]:
        """Part -> pid."""
        about = json.loads((self.home / "stack.json").read_text())
        return {part["name"]: part["pid"] for part in about["parts"]} | {"supervisor": about["pid"]}

    def cpu_s(self) -> dict[str, float]:
        """CPU seconds of each part so far, with its children (Postgres has one per connection)."""
        return {name: _cpu_s(pid) for name, pid in self.parts().items()}

    def rss_mb(self) -> dict[str, float]:
        return {name: _rss_mb(pid) for name, pid in self.parts().items()}


def _family(pid: int) -> list[psutil.Process]:
    parent = psutil.Process(pid)
    return [parent, *(parent.children(recursive=True) if parent.name() == "postgres" else [])]


def _cpu_s(pid: int) -> float:
    total = 0.0
    for process in _family(pid):
        times = process.cpu_times()
        total += times.user + times.system + times.children_user + times.children_system
    return total


def _rss_mb(pid: int) -> float:
    """Proportional: what Postgres' processes share is counted once."""
    return sum(process.memory_full_info().pss for process in _family(pid)) / 1e6


@contextmanager
def running(**settings: str) -> Iterator[Running]:
    """Starts the stack, waits until it serves, stops it."""
    with tempfile.TemporaryDirectory(prefix="handsent bench ") as folder:
        home = Path(folder) / "home"
        environment = {**os.environ, "HANDSENT_HOME": str(home), **_free_ports(), **settings}
        began = time.monotonic()
        with (Path(folder) / "up.log").open("wb") as log:
            process = subprocess.Popen([sys.executable, "-m", "handsent", "up"], env=environment, stdout=log)
        try:
            while b"ready in" not in (Path(folder) / "up.log").read_bytes():
                if process.poll() is not None or time.monotonic() - began > 120:
                    raise SystemExit((Path(folder) / "up.log").read_text())
                time.sleep(0.05)
            yield Running(home, environment, time.monotonic() - began)
        finally:
            process.terminate()
            process.wait(60)


def _free_ports() -> dict[str, str]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in PORTS]
    found = {name: str(s.getsockname()[1]) for name, s in zip(PORTS, sockets, strict=True)}
    for s in sockets:
        s.close()
    return found
