"""The real Postgres and the real Kafka that integration tests share: started once, on free ports, in a temp folder.

| fixture | is |
|---|---|
| `postgres` | the server's URL; for all tests of the run |
| `database_url` | a database of the test's own, empty; roles are the server's and shared |
| `kafka` | the broker's bootstrap address, every topic of `schemas.topics` made; for all tests of the run |
| `new_topic` | makes a topic of the test's own and answers its name: `await new_topic(4)` has 4 partitions |

Topics of `schemas.topics` hold what earlier tests produced: read from the ends you saw first (`kernel.kafka.Watcher`).
A test that kills a server starts one of its own (`EmbeddedPostgres`, `EmbeddedKafka`).
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import pytest
from handsent import topics
from handsent.kafka import EmbeddedKafka
from handsent.postgres import EmbeddedPostgres
from kernel.kafka import when_there

from schemas.topics import TOPICS, Topic

NewTopic = Callable[[int], Awaitable[str]]


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with EmbeddedPostgres(tmp_path_factory.mktemp("postgres")) as server:
        yield server.url


@pytest.fixture
async def database_url(postgres: str) -> AsyncIterator[str]:
    name = f"test_{uuid4().hex}"
    await _execute(postgres, f"CREATE DATABASE {name}")
    yield urlunsplit(urlsplit(postgres)._replace(path=f"/{name}"))
    await _execute(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with EmbeddedKafka(tmp_path_factory.mktemp("kafka")) as broker:
        asyncio.run(_make(broker.bootstrap, *TOPICS.values()))
        yield broker.bootstrap


@pytest.fixture
def new_topic(kafka: str) -> NewTopic:
    async def make(partitions: int) -> str:
        name = f"test-{uuid4().hex}"
        await _make(kafka, Topic(name, "tests", None, (), partitions_local=partitions))
        return name

    return make


async def _make(bootstrap: str, *wanted: Topic) -> None:
    await topics.create(bootstrap, wanted)
    # The controller has made them; the broker may hear of it a moment later.
    await when_there(bootstrap, [topic.name for topic in wanted])


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
