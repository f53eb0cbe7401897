"""A dispatcher per provider, a process, against a carrier that speaks its API: all tests of a provider share it."""

import asyncio
import base64
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import aiohttp
import asyncpg
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from dispatcher.provider import PROVIDERS, SMPP
from handsent import topics
from handsent.kafka import EmbeddedKafka
from kernel.testing import VAULT_KEY
from kernel.vault import open_vault

from schemas.topics import TOPICS
from tests.integration.dispatcher.providers.smsc import Smsc
from tests.integration.dispatcher.world import Stack, World, eventually

SEED = bytes(range(32))
PUBLIC = base64.b64encode(Ed25519PrivateKey.from_private_bytes(SEED).public_key().public_bytes_raw()).decode()
OF_TELNYX = {
    "TELNYX_API_KEY": "a key for tests",
    "TELNYX_SIGNING_KEY": base64.b64encode(SEED).decode(),
    "TELNYX_PUBLIC_KEY": PUBLIC,
}


class Carried(World):
    """A world whose texts one provider carries."""

    def __init__(self, provider: str, smsc: Smsc | None, *given: Any) -> None:
        super().__init__(*given)
        self.provider, self._smsc = provider, smsc

    async def ledger(self, *numbers: str) -> list[dict[str, Any]]:
        if self._smsc is None:
            return await super().ledger(*numbers)
        async with self.http.get(f"{self._smsc.control}/ledger") as answer:
            lines = [orjson.loads(line) for line in (await answer.read()).splitlines()]
        return [line for line in lines if line["to"] in numbers]

    async def slow(self, latency_ms: int) -> None:
        """The carrier takes what it is sent, and lets us wait for answer and receipt."""
        if self._smsc is None:
            await self.faults(latency_ms=latency_ms, receipts={"delay_ms": latency_ms})
        else:
            await self.does(latency_ms=latency_ms)

    async def drops(self) -> None:
        """The carrier takes what it is sent, and cuts the connection; receipts come much later."""
        if self._smsc is None:
            await self.faults(drop_response=1, receipts={"delay_ms": 600_000})
        else:
            await self.does(drop=True)

    async def healthy(self) -> None:
        await self.faults()
        await self.does()

    async def does(self, **habits: Any) -> None:
        if self._smsc is not None:
            async with self.http.put(f"{self._smsc.control}/does", json=habits) as answer:
                assert answer.status == 200

    async def replies(self, number: str, body: str, **more: str) -> int:
        if self._smsc is None:
            return await super().replies(number, body, **more)
        reply = {"from": number, "to": self.sender, "body": body}
        async with self.http.post(f"{self._smsc.control}/inbound", json=reply) as answer:
            return answer.status


class Provided:
    """A provider's stack."""

    def __init__(self, provider: str, stack: Stack, smsc: Smsc | None) -> None:
        self.provider, self.stack, self.smsc = provider, stack, smsc


@pytest.fixture(scope="session", params=PROVIDERS)
def provided(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, postgres: str
) -> Iterator[Provided]:
    provider = request.param
    folder = tmp_path_factory.mktemp(provider)
    url = urlunsplit(urlsplit(postgres)._replace(path=f"/{provider}"))
    asyncio.run(_create_database(postgres, provider))
    with EmbeddedKafka(folder) as kafka, _smsc(provider, folder) as smsc:
        asyncio.run(topics.create(kafka.bootstrap, TOPICS.values()))
        smpp = {"SMPP_ADDRESS": smsc.address, "SMPP_SYSTEM_ID": "us", "SMPP_PASSWORD": "secret"} if smsc else {}
        stack = Stack(
            folder,
            url,
            kafka.bootstrap,
            PROVIDER=provider,
            CARRIER_TIMEOUT_S="4",
            LOOK_UP_S="1",
            REPEAT_AFTER_S="3",
            **OF_TELNYX,
            **smpp,
        )
        try:
            stack.carrier.start()
            stack.dispatcher.start()
            yield Provided(provider, stack, smsc)
        finally:
            stack.dispatcher.stop(signal.SIGKILL)
            stack.carrier.stop()


async def _create_database(url: str, name: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f'CREATE DATABASE "{name}"')
    finally:
        await connection.close()


@contextmanager
def _smsc(provider: str, folder: Any) -> Iterator[Smsc | None]:
    if provider != SMPP:
        yield None
        return
    smsc = Smsc(folder)
    try:
        smsc.start()
        yield smsc
    finally:
        smsc.stop()


@pytest.fixture
async def carried(provided: Provided) -> AsyncIterator[Carried]:
    """A world whose campaign the dispatcher has read; its carrier is healthy."""
    stack = provided.stack
    async with aiohttp.ClientSession() as http:
        database = await asyncpg.connect(stack.database_url, server_settings={"search_path": "dispatcher"})
        vault = await open_vault(stack.database_url, "dispatcher", [VAULT_KEY])
        world = Carried(provided.provider, provided.smsc, stack, http, database, vault)
        await world.healthy()
        await world.publish(world.created())

        async def known() -> bool:
            return bool(await world.database.fetchval("SELECT 1 FROM senders WHERE number = $1", world.sender))

        await eventually(known, lambda: "the sender is known")
        yield world
        await world.healthy()
        await world.close()
        await vault.close()
        await database.close()
