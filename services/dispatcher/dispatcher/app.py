"""What the dispatcher does with each batch it reads: messages into the queue, senders' numbers to their accounts."""

from collections import Counter

from kernel.database import Connection
from kernel.outbox import Outbox
from kernel.received import Received

from dispatcher import store, store_replies
from dispatcher.app_lanes import Lanes
from dispatcher.turns import Lane
from schemas.events import CampaignCreated, MessageReleased

TOPICS = ("campaigns", "releases")


class Dispatcher:
    """Its handler runs inside the batch loop's transaction; `lanes` hear of it once that has committed."""

    def __init__(self, sealer: store_replies.Sealer, lanes: Lanes) -> None:
        self._sealer, self._lanes = sealer, lanes
        self._queued: Counter[Lane] = Counter()

    async def handle(self, connection: Connection, batch: list[Received], outbox: Outbox) -> None:
        """MessageDropped and CampaignEnded are nothing to the dispatcher."""
        created = [event for event, *_ in batch if isinstance(event, CampaignCreated)]
        released = [event for event, *_ in batch if isinstance(event, MessageReleased)]
        if created:
            await store_replies.learn_senders(connection, self._sealer, created, outbox)
        if released:
            await store_replies.learn_from_releases(connection, self._sealer, released, outbox)
            await store.enqueue(connection, released)
        self._queued.update(Lane(event.account_id, event.campaign_id, event.sender) for event in released)

    def committed(self) -> None:
        """Called after each commit of the batch loop."""
        if self._queued:
            self._lanes.notice(self._queued)
            self._queued = Counter()
