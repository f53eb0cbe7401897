"""A real Postgres, a real Kafka, the carrier simulator and a dispatcher, each a process; a folder and ports per run."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import aiohttp
import asyncpg
import pytest
from handsent import topics
from handsent.kafka import EmbeddedKafka
from handsent.postgres import EmbeddedPostgres

from schemas.topics import TOPICS
from tests.integration.dispatcher.world import Stack, World, eventually


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("dispatcher")
    with EmbeddedPostgres(folder) as postgres, EmbeddedKafka(folder) as kafka:
        asyncio.run(topics.create(kafka.bootstrap, TOPICS.values()))
        stack = Stack(folder, postgres.url, kafka.bootstrap)
        try:
            stack.carrier.start()
            stack.dispatcher.start()
            yield stack
        finally:
            stack.dispatcher.stop()
            stack.carrier.stop()


@pytest.fixture
async def world(stack: Stack) -> AsyncIterator[World]:
    async with aiohttp.ClientSession() as http:
        database = await asyncpg.connect(stack.database_url, server_settings={"search_path": "dispatcher"})
        world = World(stack, http, database)
        await world.faults()
        yield world
        await world.faults()
        await database.close()


@pytest.fixture
async def sending(world: World) -> World:
    """A world whose campaign the dispatcher has read."""
    await world.publish(world.created())

    async def known() -> bool:
        return bool(await world.database.fetchval("SELECT 1 FROM senders WHERE number = $1", world.sender))

    await eventually(known, lambda: "the sender is known")
    return world
