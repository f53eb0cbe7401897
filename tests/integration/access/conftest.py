"""The three services that verify tokens, for all tests of a file; each test has an account of its own."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import aiohttp
import asyncpg
import pytest

from tests.integration.access.world import PORTS, Door, Services


@pytest.fixture(scope="module")
def own_database(postgres: str) -> Iterator[str]:
    name = f"test_{uuid4().hex}"
    asyncio.run(_execute(postgres, f"CREATE DATABASE {name}"))
    yield urlunsplit(urlsplit(postgres)._replace(path=f"/{name}"))
    asyncio.run(_execute(postgres, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture(scope="module")
def services(own_database: str, kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    services = Services(tmp_path_factory.mktemp("services"), own_database, kafka)
    try:
        yield services.start(*PORTS)
    finally:
        services.stop()


@pytest.fixture
async def door(services: Services) -> AsyncIterator[Door]:
    jar = aiohttp.CookieJar(unsafe=True)  # unsafe: also for hosts that are addresses
    async with aiohttp.ClientSession(cookie_jar=jar) as http:
        yield Door(services, http)


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
