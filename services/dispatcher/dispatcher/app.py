"""What the dispatcher does with each batch it reads: messages into the queue, senders' numbers to their accounts."""

import asyncio

from kernel.database import Connection
from kernel.outbox import Outbox
from kernel.received import Received

from dispatcher import store, store_replies
from schemas.events import CampaignCreated, MessageReleased

TOPICS = ("campaigns", "releases")


class Dispatcher:
    """Its handler runs inside the batch loop's transaction; `queued` is set once that has committed."""

    def __init__(self, sealer: store_replies.Sealer, queued: asyncio.Event) -> None:
        self._sealer, self._queued = sealer, queued
        self._something_to_send = False

    async def handle(self, connection: Connection, batch: list[Received], outbox: Outbox) -> None:
        """MessageDropped and CampaignEnded are nothing to the dispatcher."""
        created = [event for event, *_ in batch if isinstance(event, CampaignCreated)]
        released = [event for event, *_ in batch if isinstance(event, MessageReleased)]
        if created:
            await store_replies.learn_senders(connection, self._sealer, created, outbox)
        if released:
            await store_replies.learn_from_releases(connection, self._sealer, released, outbox)
            await store.enqueue(connection, released)
        self._something_to_send = self._something_to_send or bool(released)

    def committed(self) -> None:
        """Called after each commit of the batch loop."""
        if self._something_to_send:
            self._something_to_send = False
            self._queued.set()
