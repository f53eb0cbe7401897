"""The recipient report as it is made: a piece is read, opened and written when the reader has taken the one before."""

import asyncio
from collections.abc import AsyncIterator

from kernel.database import Pool, acting_for
from kernel.vault import Vault

from projections.store_reads import Campaign, report

AT_ONCE = 3  # of the pool's connections: Progress must not wait for downloads


class Reports:
    """Streams reports, a few at a time."""

    def __init__(self, pool: Pool, vault: Vault) -> None:
        self._pool, self._vault = pool, vault
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def stream(self, campaign: Campaign) -> AsyncIterator[bytes]:
        """The report in chunks. A failure half-way breaks the stream off: a short report must not look whole."""
        async with self._slots, acting_for(self._pool, campaign.account_id) as connection:
            async for chunk in report(connection, self._vault, campaign.campaign_id):
                yield chunk
