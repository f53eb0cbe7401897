"""A service with nothing but the kernel's tables, and a ledger of what its handler was given."""

from collections.abc import AsyncIterator

import pytest
from kernel import database
from kernel.database import Pool

from tests.integration.kernel.ledger import LEDGER, SCHEMA


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    await database.migrate(database_url, SCHEMA, "kernel")
    pool = await database.open_pool(database_url, SCHEMA)
    await pool.execute(LEDGER)
    yield pool
    await pool.close()
