"""The recipient report as it is made: Postgres writes, the client reads, and nothing piles up in between."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from kernel.database import Pool, acting_for

from projections.store_reads import Campaign, write_report

QUEUED_CHUNKS = 8
CHUNK_BYTES = 64 * 1024
AT_ONCE = 3  # of the pool's connections: Progress must not wait for downloads


class Reports:
    """Streams reports, a few at a time."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def stream(self, campaign: Campaign) -> AsyncIterator[bytes]:
        """The report in chunks. A failure half-way breaks the stream off: a short report must not look whole."""
        async with self._slots:
            chunks: asyncio.Queue[bytes] = asyncio.Queue(QUEUED_CHUNKS)
            writer = asyncio.create_task(self._write(campaign, chunks))
            try:
                while chunk := await chunks.get():
                    yield chunk
                await writer
            finally:
                writer.cancel()
                with suppress(asyncio.CancelledError):
                    await writer

    async def _write(self, campaign: Campaign, chunks: asyncio.Queue[bytes]) -> None:
        """Ends what it puts with an empty chunk, unless nobody takes chunks any more."""
        buffer = bytearray()

        async def write(data: bytes) -> None:
            buffer.extend(data)
            if len(buffer) >= CHUNK_BYTES:
                await chunks.put(bytes(buffer))
                buffer.clear()

        try:
            async with acting_for(self._pool, campaign.account_id) as connection:
                await write_report(connection, campaign.campaign_id, write)
            if buffer:
                await chunks.put(bytes(buffer))
        except Exception:
            await chunks.put(b"")
            raise
        await chunks.put(b"")
