"""Schemas and roles: made by whoever comes first, the same for everybody who comes after."""

import asyncio

import asyncpg
import pytest
from kernel import database
from kernel.errors import retriable

SERVICES = {"send_intake": "send_intake", "scheduler": "scheduler"}


async def test_processes_that_start_together_make_one_schema(database_url: str) -> None:
    await asyncio.gather(*(database.migrate(database_url, name, SERVICES[name]) for name in [*SERVICES] * 4))
    connection = await asyncpg.connect(database_url)
    for name in SERVICES:
        done = await connection.fetchval(f"SELECT array_agg(name) FROM {name}.migrations")
        assert len(done) == len(set(done)) > 0
    await connection.close()


async def test_a_service_sees_its_own_schema_only(database_url: str) -> None:
    for name, package in SERVICES.items():
        await database.migrate(database_url, name, package)
    connection = await database.connect(database_url, "scheduler")
    assert await connection.fetchval("SELECT count(*) FROM held") == 0
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.fetchval("SELECT count(*) FROM send_intake.recipients")
    await connection.close()


async def test_a_frozen_transaction_is_ended_for_its_process(database_url: str) -> None:
    await database.migrate(database_url, "scheduler", "scheduler")
    connection = await database.connect(
        database_url, "scheduler", idle_in_transaction_session_timeout="100ms", statement_timeout="100ms"
    )
    with pytest.raises(asyncpg.QueryCanceledError) as cancelled:
        await connection.execute("SELECT pg_sleep(5)")
    assert retriable(cancelled.value)
    await connection.execute("BEGIN")
    async with asyncio.timeout(10):
        while not connection.is_closed():
            await asyncio.sleep(0.02)


async def test_a_value_that_does_not_fit_is_not_tried_again(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    with pytest.raises(asyncpg.DataError) as wrong:
        await connection.fetchval("SELECT $1::int", "three")
    assert not retriable(wrong.value)
    await connection.close()
