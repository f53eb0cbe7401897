"""What the scheduler does with each batch: it keeps what waits, and notes ENDs and time."""

from collections.abc import Callable

from kernel.database import Connection
from kernel.errors import InvariantBroken
from kernel.outbox import Outbox
from kernel.received import Received

from scheduler import store
from scheduler.release import Drop, Hold, admit, dropped, misdue, released
from schemas.events import CampaignEnded, ClockAdvanced, RecipientProcessed

TOPICS = ("campaigns", "processed", "clock")


class Scheduler:
    """Its handlers run inside the batch loop's transaction."""

    def __init__(self, go_on: Callable[[], None]) -> None:
        """`go_on` is called after a commit that may let something go."""
        self._go_on = go_on
        self._something_may_go = False

    async def handle(self, connection: Connection, batch: list[Received], outbox: Outbox) -> None:
        ends = [e for e, *_ in batch if isinstance(e, CampaignEnded)]
        clocks = [e for e, *_ in batch if isinstance(e, ClockAdvanced)]
        presses = [received for received in batch if isinstance(received.event, RecipientProcessed)]
        something_may_go = bool(ends)
        if ends:
            await store.end_campaigns(connection, ends)
        if clocks:
            await store.keep_clocks(connection, clocks)
        if presses and await self._admit(connection, presses, outbox):
            something_may_go = True
        # Whatever was read of `campaigns` can be what a reading waited for.
        if (clocks or any(r.topic == "campaigns" for r in batch)) and await store.advance_watermark(connection):
            something_may_go = True
        self._something_may_go = something_may_go

    def committed(self) -> None:
        """Called after each commit of the batch loop: only now can others see what `handle` did."""
        if self._something_may_go:
            self._something_may_go = False
            self._go_on()

    async def _admit(self, connection: Connection, presses: list[Received], outbox: Outbox) -> bool:
        """Whether any that is now held is due already."""
        messages = [_message(press) for press in presses]
        gone = await store.gone(connection, [m.recipient_id for m in messages])
        ends = await store.ends_of(connection, (m.campaign_id for m in messages if m.scheduled_for is not None))
        held: list[RecipientProcessed] = []
        for message in messages:
            if message.recipient_id in gone:
                continue
            decision = admit(message, ends.get(message.campaign_id))
            if isinstance(decision, Hold):
                held.append(message)
            else:
                outbox.add(dropped(message, decision) if isinstance(decision, Drop) else released(message))
        return bool(held) and await store.hold(connection, held)


def _message(press: Received) -> RecipientProcessed:
    assert isinstance(press.event, RecipientProcessed)
    if why := misdue(press.event):
        raise InvariantBroken(press, why)
    return press.event
