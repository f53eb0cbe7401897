"""A real Postgres, a real Kafka and the service as a process; a folder and ports per run."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
from aiokafka import AIOKafkaProducer
from handsent import topics
from handsent.kafka import EmbeddedKafka
from handsent.postgres import EmbeddedPostgres
from kernel import database
from kernel.database import Pool

from schemas.topics import TOPICS
from tests.integration.projections.world import Service, World


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(tmp_path_factory.mktemp("projections-postgres")) as server:
        yield server


@pytest.fixture(scope="session")
def bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with EmbeddedKafka(tmp_path_factory.mktemp("projections-kafka")) as kafka:
        asyncio.run(topics.create(kafka.bootstrap, TOPICS.values()))
        yield kafka.bootstrap


@pytest.fixture(scope="session")
def service(postgres: EmbeddedPostgres, bootstrap: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder: Path = tmp_path_factory.mktemp("projections")
    service = Service(folder, postgres.url, bootstrap)
    try:
        yield service.start()
    finally:
        service.stop()


@pytest.fixture
async def world(service: Service, bootstrap: str) -> AsyncIterator[World]:
    async with aiohttp.ClientSession() as http, AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        yield World(service, producer, http)


@pytest.fixture
async def read_models(postgres: EmbeddedPostgres, request: pytest.FixtureRequest) -> AsyncIterator[Pool]:
    """Read models of the test's own, without a service."""
    schema = request.node.name[:59]
    await database.migrate(postgres.url, schema, "projections")
    pool = await database.open_pool(postgres.url, schema, max_size=4)
    yield pool
    await pool.close()
