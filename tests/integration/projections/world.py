"""What the tests of projections see: a log to write to, the service as a process, and what it answers."""

import asyncio
import csv
import io
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import orjson
from aiokafka import AIOKafkaProducer
from kernel.seal import VaultKey
from kernel.testing import VAULT_KEY
from kernel.tokens import Role, User, issue

from schemas.codec import encode, key_of
from schemas.topics import TOPIC_OF
from tests.unit.projections.life import Life, key_of_person, secret_of

TOKEN_KEY = "a token key for tests that is long enough"
PATIENCE_S = 20.0


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class Service:
    """`python -m projections`, ended by its own pid."""

    def __init__(self, folder: Path, database_url: str, bootstrap: str) -> None:
        self.database_url, self.bootstrap = database_url, bootstrap
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = folder / f"projections-{self.port}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Service":
        settings = {
            "DATABASE_URL": self.database_url,
            "KAFKA_BOOTSTRAP": self.bootstrap,
            "TOKEN_KEY": TOKEN_KEY,
            "VAULT_KEY": VAULT_KEY,
            "PERSON_ID_SECRET": "a person id secret",
            "PROJECTIONS_PORT": str(self.port),
        }
        with self._log.open("ab") as log:
            command = [sys.executable, "-m", "projections"]
            self._process = subprocess.Popen(command, env={**os.environ, **settings}, stdout=log, stderr=log)
        deadline = time.monotonic() + PATIENCE_S
        while not self._answers():
            assert self._process.poll() is None and time.monotonic() < deadline, self.log()
            time.sleep(0.05)
        return self

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=1):
                return True
        except OSError:
            return False

    def log(self) -> str:
        return self._log.read_text()[-4000:]

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        if self._process is None:
            return 0
        self._process.send_signal(number)
        code = self._process.wait(20)
        self._process = None
        return code


class World:
    """One test: an account and a campaign of its own, in a log and a service that all tests share."""

    def __init__(self, service: Service, producer: AIOKafkaProducer, http: aiohttp.ClientSession) -> None:
        self.service, self.http = service, http
        self._producer = producer
        self._met: set[str] = set()
        self.account = uuid.uuid4().hex
        self.campaign_id, self.account_id = self.life(0).campaign_id, self.life(0).account_id

    def life(self, n: int, **about: Any) -> Life:
        return Life(account=self.account, number=f"+1202555{n:04d}", position=n, sealed=True, **about)

    async def publish(self, events: Iterable[Any]) -> None:
        """Returns once the log has them, and the vault the keys of whom they are about."""
        events = list(events)
        await self._meet({event.person_id: event.account_id for event in events if hasattr(event, "person_id")})
        for event in events:
            await self.publish_raw(TOPIC_OF[type(event)].name, key_of(event), encode(event))
        await self._producer.flush()

    async def _meet(self, people: dict[str, str]) -> None:
        """As send-intake does it, but with keys that a test can make again."""
        vault_key = VaultKey(VAULT_KEY)
        rows = [
            (id_, account_id, key_of_person(id_).key_id, vault_key.wrap(id_, secret_of(id_)), vault_key.key_id)
            for id_, account_id in people.items()
            if id_ not in self._met
        ]
        self._met |= people.keys()
        connection = await asyncpg.connect(self.service.database_url)
        await connection.executemany(
            """INSERT INTO vault.keys (subject_id, kind, account_id, key_id, wrapped, wrapped_by)
               VALUES ($1, 'person', $2, $3, $4, $5)""",
            rows,
        )
        await connection.close()

    async def erase(self, life: Life) -> None:
        """As the dispatcher does it: the event, and the key is gone."""
        await self.publish([life.erased()])
        connection = await asyncpg.connect(self.service.database_url)
        await connection.execute("DELETE FROM vault.keys WHERE subject_id = $1", life.person_id)
        await connection.close()

    async def publish_raw(self, topic: str, key: bytes | None, value: bytes) -> Any:
        return await self._producer.send(topic, value, key=key)

    # --- asking --------------------------------------------------------------------------------------------

    def headers(self, account_id: str | None = None, role: Role = Role.SENDER) -> dict[str, str]:
        token = issue(TOKEN_KEY, User(account_id or self.account_id, "u1", role, "Sam"), "t1")
        return {"Authorization": f"Bearer {token}"}

    def path(self, rest: str) -> str:
        return f"{self.service.url}/api/v1/campaigns/{self.campaign_id}{rest}"

    async def get(self, rest: str, account_id: str | None = None) -> tuple[int, Any]:
        async with self.http.get(self.path(rest), headers=self.headers(account_id)) as answer:
            return answer.status, orjson.loads(await answer.read())

    async def post(self, rest: str, body: Any) -> tuple[int, Any]:
        async with self.http.post(self.path(rest), headers=self.headers(), json=body) as answer:
            return answer.status, orjson.loads(await answer.read())

    async def progress(self) -> dict[str, Any]:
        status, answer = await self.get("/progress")
        assert status == 200, answer
        assert answer["recipients"] == answer["unprocessed"] + answer["processed"]
        assert answer["processed"] == sum(answer[n] for n in ("waiting", "suppressed", "dropped", "sent"))
        assert answer["sent"] == answer["delivered"] + answer["not_delivered"]
        assert answer["not_delivered"] == sum(answer[n] for n in ("failed", "awaiting", "unconfirmed", "unknown"))
        assert sum(answer["failed_by_reason"].values()) == answer["failed"]
        return dict(answer)

    async def progress_is(self, **wanted: Any) -> dict[str, Any]:
        """Waits until Progress says so; every answer on the way must add up."""

        async def said() -> dict[str, Any] | None:
            answer = await self.progress()
            self.last = {name: answer[name] for name in wanted}
            return answer if self.last == wanted else None

        return await eventually(said, lambda: f"wanted {wanted}, was {self.last}\n{self.service.log()}")

    async def report(self) -> list[dict[str, str]]:
        async with self.http.get(self.path("/report.csv"), headers=self.headers()) as answer:
            assert answer.status == 200
            assert answer.headers["Content-Disposition"].startswith("attachment; filename=")
            return list(csv.DictReader(io.StringIO((await answer.read()).decode(), newline="")))

    async def status(self) -> Any:
        async with self.http.get(f"{self.service.url}/status") as answer:
            return orjson.loads(await answer.read())

    async def caught_up(self) -> None:
        await eventually(self._no_lag, lambda: f"lag stays\n{self.service.log()}")

    async def _no_lag(self) -> bool:
        return bool((await self.status())["lag"] == 0)

    @asynccontextmanager
    async def listening(self, last_event_id: str | None = None) -> AsyncIterator["Listener"]:
        headers = self.headers() | ({"Last-Event-ID": last_event_id} if last_event_id else {})
        async with self.http.get(self.path("/progress/stream"), headers=headers) as answer:
            assert answer.status == 200
            yield Listener(answer)


class Listener:
    """Server-sent events as a browser reads them."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer

    async def next(self, within_s: float = 5.0) -> tuple[str, Any]:
        """(id, figures) of the next event."""
        async with asyncio.timeout(within_s):
            while (line := await self._answer.content.readline()) != b"\n":
                assert line, "the stream ended"
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name == "id":
                    id_ = value
                elif name == "data":
                    figures = orjson.loads(value)
        return id_, figures

    async def ends(self) -> None:
        async with asyncio.timeout(5):
            while await self._answer.content.readline():
                pass


async def eventually(check: Callable[[], Awaitable[Any]], why: Callable[[], str]) -> Any:
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    while not (found := await check()):
        assert asyncio.get_running_loop().time() < deadline, why()
        await asyncio.sleep(0.05)
    return found
