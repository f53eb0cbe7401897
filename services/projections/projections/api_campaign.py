"""The campaign a caller asks about: it is their account's, or there is none."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import UUID

from fastapi import Request
from kernel.database import Pool
from kernel.web import Problem, user_of

from projections import store_reads
from projections.store_reads import Campaign

# A campaign is known here a moment after send-intake has answered its making: ask again before saying 404.
NEWS_PATIENCE_S = 2.0
NEWS_POLL_S = 0.1

Found = TypeVar("Found")


async def campaign_of(pool: Pool, campaign_id: UUID, request: Request) -> Campaign:
    """Raises Problem 404."""
    account_id = user_of(request).account_id
    return await patiently(lambda: store_reads.campaign(pool, campaign_id, account_id))


async def patiently(ask: Callable[[], Awaitable[Found | None]]) -> Found:
    """What is found, as soon as it is. Raises Problem 404."""
    deadline = asyncio.get_running_loop().time() + NEWS_PATIENCE_S
    while (found := await ask()) is None:
        if asyncio.get_running_loop().time() >= deadline:
            raise no_campaign()
        await asyncio.sleep(NEWS_POLL_S)
    return found


def no_campaign() -> Problem:
    return Problem(404, "not_found", "There is no such campaign.")
