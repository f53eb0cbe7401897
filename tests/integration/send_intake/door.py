"""send-intake's API in the test's own process, on the store the test has."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from fastapi import FastAPI
from kernel.testing import VAULT_KEY, nothing_revoked
from kernel.tokens import User, issue
from send_intake.api import build_api
from send_intake.app_access import Access
from send_intake.app_passwords import Passwords
from send_intake.settings import Settings
from send_intake.store_tries import Tries

from tests.integration.send_intake.conftest import SECRET, Intake

TOKEN_KEY = "a token key for tests that is long enough"


@asynccontextmanager
async def as_user(intake: Intake, user: User) -> AsyncIterator[httpx.AsyncClient]:
    settings = Settings(
        database_url=intake.database_url, kafka_bootstrap="nowhere:9", token_key=TOKEN_KEY, person_id_secret=SECRET,
        vault_key=VAULT_KEY,
    )  # type: ignore[call-arg]  # fmt: skip
    woken = asyncio.Event()
    access = Access(intake.pool, TOKEN_KEY, nothing_revoked(), woken, Passwords(), Tries(intake.pool, TOKEN_KEY), None)
    api = build_api(intake.pool, intake.vault, settings, intake.presses, access, woken, _probe, _probe)
    headers = {"Authorization": f"Bearer {issue(TOKEN_KEY, user, 't')}"}
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(api), base_url="http://here/api/v1", headers=headers
    ) as http:
        yield http


def api_of(http: httpx.AsyncClient) -> FastAPI:
    """What the client asks."""
    transport = http._transport
    assert isinstance(transport, httpx.ASGITransport) and isinstance(transport.app, FastAPI)
    return transport.app


async def _probe() -> dict[str, Any]:
    return {}
