"""A real Postgres, a real Kafka, the carrier simulator and a dispatcher, each a process; a folder and ports per run."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator

import aiohttp
import asyncpg
import pytest
from handsent import topics
from handsent.kafka import EmbeddedKafka
from kernel.testing import VAULT_KEY
from kernel.vault import open_vault

from schemas.topics import TOPICS
from tests.integration.dispatcher.world import Stack, World, eventually


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, postgres: str) -> Iterator[Stack]:
    """A broker of its own: what other tests put on the topics would be sent to the carrier, or stop a partition."""
    folder = tmp_path_factory.mktemp("dispatcher")
    with EmbeddedKafka(folder) as kafka:
        asyncio.run(topics.create(kafka.bootstrap, TOPICS.values()))
        stack = Stack(folder, postgres, kafka.bootstrap)
        try:
            stack.carrier.start()
            stack.dispatcher.start()
            yield stack
        finally:
            stack.dispatcher.stop(signal.SIGKILL)
            stack.carrier.stop()


@pytest.fixture
async def world(stack: Stack) -> AsyncIterator[World]:
    async with aiohttp.ClientSession() as http:
        database = await asyncpg.connect(stack.database_url, server_settings={"search_path": "dispatcher"})
        vault = await open_vault(stack.database_url, "dispatcher", [VAULT_KEY])
        world = World(stack, http, database, vault)
        await world.faults()
        yield world
        await world.faults()
        await world.close()
        await vault.close()
        await database.close()


@pytest.fixture
async def sending(world: World) -> World:
    """A world whose campaign the dispatcher has read."""
    await world.publish(world.created())

    async def known() -> bool:
        return bool(await world.database.fetchval("SELECT 1 FROM senders WHERE number = $1", world.sender))

    await eventually(known, lambda: "the sender is known")
    return world
