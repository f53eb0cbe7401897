"""The SMSC that is not ours: npm `smpp`, installed as its lock says into a folder of the checkout's."""

import hashlib
import json
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path

from tests.integration.process import free_port
from tests.tidy.tree import ROOT

HERE = Path(__file__).parent / "smsc"
START_S = 30.0


def installed() -> Path:
    """The folder to run it in; what npm installs is what the lock's hashes say."""
    name = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()[:16]
    folder = ROOT / ".smsc" / name
    if not (folder / "ready").exists():
        assert shutil.which("npm"), "this test runs a real SMSC, which npm installs, and there is no npm on the PATH"
        folder.mkdir(parents=True, exist_ok=True)
        for file in ("package.json", "package-lock.json"):
            shutil.copy(HERE / file, folder)
        command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
        subprocess.run(command, cwd=folder, check=True, timeout=300, capture_output=True)
        (folder / "ready").touch()
    shutil.copy(HERE / "smsc.js", folder)
    return folder


class Smsc:
    """Speaks SMPP at `address`; `control` is where tests read its ledger and say what it does."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "smsc.log"
        self._ports = {"port": free_port(), "control_port": free_port()}
        self.address, self.control = (
            f"127.0.0.1:{self._ports['port']}",
            f"http://127.0.0.1:{self._ports['control_port']}",
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                ["node", "smsc.js"], cwd=installed(), stdin=subprocess.PIPE, stdout=log, stderr=log
            )
        assert self._process.stdin
        self._process.stdin.write(json.dumps(self._ports).encode())
        self._process.stdin.close()
        deadline = time.monotonic() + START_S
        while not self._answers():
            assert self._process.poll() is None and time.monotonic() < deadline, self._log.read_text()[-2000:]
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.control}/ledger", timeout=1):
                return True
        except OSError:
            return False

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None
