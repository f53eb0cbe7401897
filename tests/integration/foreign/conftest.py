"""The dispatcher with a carrier that others wrote: a Twilio from npm; one for all tests of the folder."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator

import aiohttp
import asyncpg
import pytest
from handsent import topics
from handsent.kafka import EmbeddedKafka
from handsent.postgres import EmbeddedPostgres
from kernel.testing import VAULT_KEY
from kernel.vault import open_vault

from schemas.topics import TOPICS
from tests.integration.dispatcher.world import ENVIRONMENT, Stack, World, eventually
from tests.integration.foreign.emulate import Emulate
from tests.integration.process import free_port

CONNECTIONS = 32


@pytest.fixture(scope="module")
def emulate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulate]:
    folder = tmp_path_factory.mktemp("emulate")
    sid, token = ENVIRONMENT["TWILIO_ACCOUNT_SID"], ENVIRONMENT["TWILIO_AUTH_TOKEN"]
    with Emulate(free_port(), sid, token, folder) as carrier:
        yield carrier


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, emulate: Emulate) -> Iterator[Stack]:
    """A broker and a database of its own: what other tests put there would be sent to this carrier."""
    folder = tmp_path_factory.mktemp("dispatcher")
    with EmbeddedPostgres(folder / "postgres") as postgres, EmbeddedKafka(folder / "kafka") as kafka:
        asyncio.run(topics.create(kafka.bootstrap, TOPICS.values()))
        own = {"CARRIER_URL": emulate.url, "CARRIER_CONNECTIONS": str(CONNECTIONS)}
        stack = Stack(folder, postgres.url, kafka.bootstrap, **own)
        try:
            stack.dispatcher.start()
            yield stack
        finally:
            stack.dispatcher.stop(signal.SIGKILL)


@pytest.fixture
async def world(stack: Stack, emulate: Emulate) -> AsyncIterator[World]:
    """A campaign the dispatcher has read, with a sender that the carrier knows."""
    async with aiohttp.ClientSession() as http:
        database = await asyncpg.connect(stack.database_url, server_settings={"search_path": "dispatcher"})
        vault = await open_vault(stack.database_url, "dispatcher", [VAULT_KEY])
        world = World(stack, http, database, vault)
        await emulate.owns(http, world.sender, f"{stack.url}/webhooks/twilio/inbound")
        await world.publish(world.created())

        async def known() -> bool:
            return bool(await world.database.fetchval("SELECT 1 FROM senders WHERE number = $1", world.sender))

        await eventually(known, lambda: "the sender is known")
        yield world
        await world.close()
        await vault.close()
        await database.close()
