"""The database is copied, dumped and loaded, started again and promoted, in earnest: which of them an END notices."""

import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import pytest
from handsent.postgres import EmbeddedPostgres, program
from kernel import database
from kernel.database import Pool
from kernel.testing import SENDER, eventually
from send_intake import store, store_clock, store_users
from send_intake.admission import Campaign
from send_intake.template import Template

from tests.integration.send_intake.conftest import tick

ACCOUNT = "demo"


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Pool]:
    pool = await database.open_pool(url, "send_intake", max_size=4)
    try:
        yield pool
    finally:
        await pool.close()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "CONFIRMED_WITHIN_S", 0.2)


async def a_campaign(pool: Pool) -> Campaign:
    async with pool.acquire() as connection:
        user = (await store_users.add_user(connection, ACCOUNT, "Mia", store_users.Role.MANAGER)).user  # type: ignore[arg-type]
    campaign = Campaign(str(uuid4()), user.account_id, Template((), (), ""), None, (SENDER,))
    await store.create_campaign(pool, campaign.campaign_id, user.account_id, user.user_id, "Spring", "Hello", None)
    return campaign


async def ends(pool: Pool, campaign: Campaign) -> bool:
    try:
        await store.end_campaign(pool, campaign, "a manager")
    except store.ClockUnconfirmed:
        return False
    return True


async def confirmed(url: str) -> bool:
    async with opened(url) as pool:
        return bool((await store_clock.state(pool))["clock_confirmed"])


async def _prepared(url: str) -> None:
    await database.migrate(url, "send_intake", "send_intake")
    async with opened(url) as pool:
        await tick(pool)


async def test_a_copy_of_the_database_on_the_same_server_is_another(database_url: str, postgres: str) -> None:
    await _prepared(database_url)
    copy = f"copy_{uuid4().hex}"
    operator = await asyncpg.connect(postgres)
    await operator.execute(f"CREATE DATABASE {copy} TEMPLATE {urlsplit(database_url).path[1:]}")
    assert await confirmed(database_url)
    assert not await confirmed(_beside(database_url, copy))
    await operator.execute(f"DROP DATABASE {copy}")
    await operator.close()


@pytest.mark.parametrize("only_data", [False, True], ids=["all of it", "the rows alone"])
async def test_what_was_dumped_and_loaded_is_another(database_url: str, postgres: str, only_data: bool) -> None:
    """Also over itself: the server, its timeline and the database are the same then."""
    await _prepared(database_url)
    dump = _run("pg_dump", database_url, "--schema=send_intake", *(["--data-only"] if only_data else ["--clean"]))
    operator = await asyncpg.connect(database_url)
    if only_data:
        await operator.execute("DELETE FROM send_intake.clock; DELETE FROM send_intake.migrations")
    await operator.close()
    _run("psql", database_url, "-q", "-v", "ON_ERROR_STOP=1", text=dump)
    async with opened(database_url) as pool:
        campaign = await a_campaign(pool)
        assert not await ends(pool, campaign)
        await tick(pool)
        assert await ends(pool, campaign)


async def test_a_server_that_starts_again_is_the_same_and_one_that_was_promoted_is_not(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path) as server:
        await _prepared(server.url)
        async with opened(server.url) as pool:
            campaign, other = await a_campaign(pool), await a_campaign(pool)
        server.stop()
        server.start()
        async with opened(server.url) as pool:
            assert not await pool.fetchval(store.q.confirmed), "not since it started"
            assert await ends(pool, campaign), "a leader is waited for, not insisted on"
        server.stop()
        (server.data / "standby.signal").touch()
        server.start()
        await _promoted(server.url)
        async with opened(server.url) as pool:
            assert not await ends(pool, other)
            await tick(pool)
            assert await ends(pool, other)


async def _promoted(url: str) -> None:
    operator = await asyncpg.connect(url)
    await operator.execute("SELECT pg_promote()")

    async def leads() -> bool:
        return not await operator.fetchval("SELECT pg_is_in_recovery()")

    await eventually(leads, "it is promoted")
    await operator.close()


def _beside(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def _run(name: str, *arguments: str, text: str = "") -> str:
    done = subprocess.run([program(name), *arguments], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
