"""Kannel on the same machine: texts by HTTP into its smsbox, out of its bearerbox by SMPP, its store on the disk."""

import asyncio
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from tests.bench import load

BEARERBOX, SMSBOX = "/usr/sbin/bearerbox", "/usr/sbin/smsbox"
HOW = "Kannel is not on this machine; with it (Debian: apt-get install kannel) its rate would stand beside ours"
START_S = 20.0
HANDS = 64
CONFIGURATION = """
group = core
admin-port = {admin}
admin-password = none
smsbox-port = {boxes}
box-allow-ip = "127.0.0.1"
log-level = 4
log-file = "{folder}/bearerbox.log"
store-type = spool
store-location = "{folder}/spool"
sms-outgoing-queue-limit = 1000000

group = smsc
smsc = smpp
smsc-id = end
host = 127.0.0.1
port = {smpp}
transceiver-mode = true
smsc-username = none
smsc-password = none
system-type = ""
max-pending-submits = {window}
reconnect-delay = 1

group = smsbox
bearerbox-host = 127.0.0.1
sendsms-port = {http}
log-level = 4
log-file = "{folder}/smsbox.log"

group = sendsms-user
username = none
password = none
"""


def is_here() -> bool:
    return Path(BEARERBOX).exists() and Path(SMSBOX).exists()


@dataclass
class Kannel:
    """Both boxes; `ports` are admin, boxes, http."""

    folder: Path
    ports: tuple[int, int, int]
    smpp_port: int
    window: int
    _boxes: "tuple[subprocess.Popen[bytes], subprocess.Popen[bytes]] | None" = None

    def start(self) -> None:
        admin, boxes, http = self.ports
        spool, configuration = self.folder / "spool", self.folder / "kannel.conf"
        spool.mkdir(exist_ok=True)
        configuration.write_text(
            CONFIGURATION.format(
                admin=admin, boxes=boxes, http=http, smpp=self.smpp_port, folder=self.folder, window=self.window
            )
        )
        bearerbox = self._box(BEARERBOX, configuration)
        self._until(f"http://127.0.0.1:{admin}/status.txt?password=none", "online")
        smsbox = self._box(SMSBOX, configuration)
        self._until(f"http://127.0.0.1:{http}/", "")
        self._boxes = bearerbox, smsbox

    def kill(self) -> None:
        """kill -9 of both."""
        assert self._boxes is not None
        for box in self._boxes:
            box.send_signal(signal.SIGKILL)
            box.wait()

    @property
    def pids(self) -> list[int]:
        assert self._boxes is not None
        return [box.pid for box in self._boxes]

    async def send(self, numbers: list[str], text: str) -> int:
        """Asks for a text to each as fast as Kannel takes them; how many it said it took."""
        asked = iter(numbers)
        taken = 0

        async def hand() -> None:
            nonlocal taken
            with suppress(OSError):
                async with load.connected(self.ports[2]) as ask:
                    for number in asked:
                        taken += (await ask(_request(number, text))).startswith(b"HTTP/1.1 202")

        await asyncio.gather(*(hand() for _ in range(HANDS)))
        return taken

    def _box(self, program: str, configuration: Path) -> "subprocess.Popen[bytes]":
        with (self.folder / "boxes.log").open("ab") as log:
            return subprocess.Popen([program, "-v", "4", str(configuration)], stdout=log, stderr=log, cwd=self.folder)

    def _until(self, url: str, says: str) -> None:
        deadline = time.monotonic() + START_S
        while True:
            try:
                with urllib.request.urlopen(url, timeout=1) as answer:
                    found = answer.read().decode(errors="replace")
            except urllib.error.HTTPError:
                found = ""
            except OSError:
                found = None
            if found is not None and says in found:
                return
            assert time.monotonic() < deadline, (self.folder / "boxes.log").read_text()[-2000:]
            time.sleep(0.1)


@contextmanager
def running(folder: Path, ports: tuple[int, int, int], smpp_port: int, window: int) -> Iterator[Kannel]:
    kannel = Kannel(folder, ports, smpp_port, window)
    kannel.start()
    try:
        yield kannel
    finally:
        kannel.kill()
        shutil.rmtree(folder / "spool", ignore_errors=True)


def _request(number: str, text: str) -> bytes:
    path = f"/cgi-bin/sendsms?username=none&password=none&from=%2B18445550100&to={quote(number)}&text={quote(text)}"
    return f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()
