"""send-intake as a process, with the services that verify tokens beside it, and who comes to its door."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import asyncpg
from handsent import user as command
from kernel import database
from kernel.testing import VAULT_KEY
from kernel.tokens import Role, User, verify
from send_intake import store_users
from send_intake.app_passwords import Passwords

TOKEN_KEY = "a token key for tests that is long enough"
PASSWORD = "correct horse battery staple"
PATIENCE_S = 20.0
SECRETS = {
    "TOKEN_KEY": TOKEN_KEY,
    "PERSON_ID_SECRET": "a person id secret for tests",
    "VAULT_KEY": VAULT_KEY,
    "CALLBACK_KEY": "a callback key for tests",
    "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
    "TWILIO_AUTH_TOKEN": "an auth token for tests",
}
PORTS = {"send_intake": "INTAKE_PORT", "dispatcher": "DISPATCHER_PORT", "projections": "PROJECTIONS_PORT"}
# For each service, something that every role may read there, and that is not passed on.
ASKED = {
    "send_intake": "/api/v1/campaigns",
    "dispatcher": "/api/v1/replies",
    "projections": "/api/v1/campaigns/x/progress",
}
LET_IN = (200, 422)  # `x` is no id, which is said to those who were let in


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class Services:
    """Processes on ports of their own, ended by their pids."""

    def __init__(self, folder: Path, database_url: str, bootstrap: str, **settings: str) -> None:
        self.database_url = database_url
        self._folder = folder
        self._ports = {module: free_port() for module in PORTS}
        self.urls = {module: f"http://127.0.0.1:{port}" for module, port in self._ports.items()}
        self.url = self.urls["send_intake"]
        self.settings = {
            **SECRETS,
            **{name: str(self._ports[module]) for module, name in PORTS.items()},
            "DATABASE_URL": database_url,
            "KAFKA_BOOTSTRAP": bootstrap,
            "INTAKE_URL": self.url,
            "DISPATCHER_URL": self.urls["dispatcher"],
            "PROJECTIONS_URL": self.urls["projections"],
            **settings,
        }
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, *modules: str) -> "Services":
        for module in modules:
            with self.log(module).open("ab") as log:
                self._running[module] = subprocess.Popen(
                    [sys.executable, "-m", module], env={**os.environ, **self.settings}, stdout=log, stderr=log
                )
        deadline = time.monotonic() + PATIENCE_S
        for module in modules:
            while not self._ready(module):
                alive = self._running[module].poll() is None
                assert alive and time.monotonic() < deadline, self.log(module).read_text()[-3000:]
                time.sleep(0.05)
        return self

    def _ready(self, module: str) -> bool:
        try:
            with urllib.request.urlopen(f"{self.urls[module]}/readyz", timeout=1):
                return True
        except OSError:
            return False

    def log(self, module: str) -> Path:
        return self._folder / f"{module}-{self._ports[module]}.log"

    def logs(self) -> str:
        return "".join(self.log(module).read_text() for module in self._running)

    def stop(self) -> None:
        for process in self._running.values():
            process.send_signal(signal.SIGTERM)
        for process in self._running.values():
            process.wait(30)


@dataclass
class Door:
    """One test's account, its people, and what they are answered."""

    services: Services
    http: aiohttp.ClientSession = field(repr=False)
    account: str = field(default_factory=lambda: f"account {uuid4().hex[:8]}")

    async def token(self, name: str, role: Role = Role.SENDER, account: str | None = None, **kwargs: Any) -> str:
        """What `handsent user add` prints."""
        url = self.services.database_url
        return await command.token_for(url, TOKEN_KEY, account or self.account, name, role, **kwargs)

    async def user(self, name: str, role: Role = Role.SENDER, **kwargs: Any) -> User:
        return verify(TOKEN_KEY, await self.token(name, role, **kwargs))

    async def with_password(self, name: str, role: Role = Role.SENDER) -> User:
        user = await self.user(name, role)
        connection = await self.connection()
        await store_users.set_password(connection, user.user_id, HASH)
        await connection.close()
        return user

    async def connection(self) -> asyncpg.Connection:
        return await database.connect(self.services.database_url, "send_intake")

    async def ask(self, method: str, path: str, token: str = "", **kwargs: Any) -> tuple[int, Any]:
        """The answer of send-intake's API: its status and its JSON."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        url = f"{self.services.url}/api/v1{path}"
        async with self.http.request(method, url, headers=headers | kwargs.pop("headers", {}), **kwargs) as answer:
            return answer.status, await answer.json(content_type=None)

    async def sign_in(self, name: str, password: str = PASSWORD, account: str | None = None) -> tuple[int, Any]:
        asked = {"account": account or self.account, "name": name, "password": password}
        return await self.ask("POST", "/sessions", json=asked)

    async def session(self, name: str) -> str:
        status, made = await self.sign_in(name)
        assert status == 201, made
        return str(made["token"])

    async def let_in(self, token: str, *modules: str) -> dict[str, bool]:
        """Whether each service lets the token in; it must be that, or a 401."""
        found = {}
        for module in modules or ("send_intake",):
            url = self.services.urls[module] + ASKED[module]
            async with self.http.get(url, headers={"Authorization": f"Bearer {token}"}) as answer:
                assert answer.status in (401, *LET_IN), (module, answer.status, await answer.text())
                found[module] = answer.status != 401
        return found

    async def everywhere_refused(self, token: str) -> bool:
        return not any((await self.let_in(token, *PORTS)).values())


HASH = Passwords().hash(PASSWORD)
