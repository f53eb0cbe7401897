"""A real simulator process on a free port, and the webhooks it calls."""

import asyncio
import base64
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import aiohttp
import orjson
import pytest
from aiohttp import web
from twilio.request_validator import RequestValidator

SID, TOKEN = "AC" + "0" * 32, "secret"
KEY, SEED = "a bearer key", bytes(range(32))
DEADLINE_S = 10.0


async def eventually(look: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not look():
            await asyncio.sleep(0.01)


class Webhooks:
    """Records what it is told, refuses a bad signature, and answers with `status`."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.port = port
        self.status = 204
        self.asked = 0
        self.told: list[dict[str, str]] = []
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post("/webhooks/twilio/{kind}", self._answer)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def statuses_of(self, message_id: str) -> list[str]:
        return [form["MessageStatus"] for form in self.told if form["MessageSid"] == message_id]

    def finished(self) -> set[str]:
        return {form["MessageSid"] for form in self.told if form["MessageStatus"] == "delivered"}

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked += 1
        form = {name: str(value) for name, value in (await request.post()).items()}
        signature = request.headers["X-Twilio-Signature"]
        if not RequestValidator(TOKEN).validate(self.url + request.path_qs, form, signature):
            return web.Response(status=403)
        if self.status < 500:
            self.told.append(form)
        return web.Response(status=self.status)


class Simulator:
    def __init__(self, folder: Path, port: int, webhooks: Webhooks, http: aiohttp.ClientSession) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.messages = f"{self.url}/2010-04-01/Accounts/{SID}/Messages"
        self.folder, self.webhooks, self.http = folder, webhooks, http
        self.process: asyncio.subprocess.Process | None = None
        self._environ = {
            **os.environ,
            "CARRIER_PORT": str(port),
            "SIMULATOR_DATA": str(folder),
            "TWILIO_ACCOUNT_SID": SID,
            "TWILIO_AUTH_TOKEN": TOKEN,
            "TELNYX_API_KEY": KEY,
            "TELNYX_SIGNING_KEY": base64.b64encode(SEED).decode(),
            "PUBLIC_URL": webhooks.url,
        }

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(sys.executable, "-m", "simulator", env=self._environ)
        async with asyncio.timeout(DEADLINE_S):
            while True:
                with suppress(aiohttp.ClientError):
                    async with self.http.get(f"{self.url}/healthz") as answer:
                        if answer.status == 200:
                            return
                await asyncio.sleep(0.02)

    async def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(how)
        return await self.process.wait()

    async def send(
        self, to: str | None, *, token: str = TOKEN, key: str | None = None, **form: str
    ) -> tuple[int, dict[str, object]]:
        asked = {"From": "+12025550100", "Body": "Hi", "StatusCallback": self.callback, **form}
        if to is not None:
            asked["To"] = to
        headers = {"Authorization": aiohttp.encode_basic_auth(SID, token)}
        if key is not None:
            headers["Idempotency-Key"] = key
        async with self.http.post(f"{self.messages}.json", data=asked, headers=headers) as answer:
            return answer.status, await answer.json()

    @property
    def callback(self) -> str:
        return f"{self.webhooks.url}/webhooks/twilio/status?recipient=a%2Fb&attempt=1"

    async def faults(self, body: object) -> int:
        async with self.http.put(f"{self.url}/simulator/faults", data=orjson.dumps(body)) as answer:
            return answer.status

    async def ledger(self) -> list[dict[str, object]]:
        async with self.http.get(f"{self.url}/simulator/ledger") as answer:
            return [orjson.loads(line) for line in (await answer.read()).splitlines()]

    async def look_up(self, path: str = "", **query: str) -> tuple[int, dict[str, object]]:
        headers = {"Authorization": aiohttp.encode_basic_auth(SID, TOKEN)}
        async with self.http.get(f"{self.messages}{path}.json", params=query, headers=headers) as answer:
            return answer.status, await answer.json()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
async def webhooks() -> AsyncIterator[Webhooks]:
    webhooks = Webhooks(free_port())
    await webhooks.start()
    yield webhooks
    await webhooks.stop()


@pytest.fixture
async def simulator(tmp_path: Path, webhooks: Webhooks) -> AsyncIterator[Simulator]:
    # A fresh connection for each request: a kept one that a kill closed would be retried or fail by chance.
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(connector=connector) as http:
        simulator = Simulator(tmp_path / "carrier", free_port(), webhooks, http)
        await simulator.start()
        yield simulator
        await simulator.stop(signal.SIGKILL)
