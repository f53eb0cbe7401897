"""The fold: what a batch of events, of any topics and partitions, does to the read models."""

from collections.abc import Iterable
from typing import TypeVar, cast

from kernel.database import Connection
from kernel.errors import InvariantBroken
from kernel.outbox import Outbox
from kernel.received import Received

from projections import store
from projections.figures import changes
from projections.progress import RecipientEvent, Row, fold, new_row
from projections.store import Stored
from projections.timeline import count, merge, pack
from schemas import events as e
from schemas.topics import TOPICS as ALL_TOPICS

# Every topic but the clock: it says nothing about a recipient, and would cost four transactions a second when idle.
TOPICS = tuple(name for name in ALL_TOPICS if name != "clock")
Found = TypeVar("Found")


async def handle(connection: Connection, batch: list[Received], _outbox: Outbox) -> None:
    """Runs in the batch loop's transaction. Locks recipients first, then campaigns, each in id order."""
    await store.begin_batch(connection)
    by_recipient: dict[str, list[Received]] = {}
    others: list[Received] = []
    for received in batch:
        recipient_id = getattr(received.event, "recipient_id", None)
        if recipient_id is None:
            others.append(received)
        else:
            by_recipient.setdefault(recipient_id, []).append(received)
    if by_recipient:
        await _fold_recipients(connection, by_recipient)
        await store.name_columns(connection, _lists(batch))
    if others:
        await _fold_others(connection, others)


async def _fold_recipients(connection: Connection, batch: dict[str, list[Received]]) -> None:
    """New rows are inserted whole. Whatever exists, or turns out to, is locked, read, folded and written back."""
    ids = sorted(batch)
    known = await store.known_recipients(connection, [i for i in ids if not _begins(batch[i])])
    new = [_folded(_blank(batch[i][0]), batch[i]) for i in ids if i not in known]
    inserted = await store.insert_recipients(connection, new)
    before = await store.lock_recipients(connection, [i for i in ids if i not in inserted])
    after = [_folded(stored, batch[i]) for i, stored in before.items()]
    changed = [stored for stored in after if stored.history != before[stored.row.recipient_id].history]
    listed = [s.row for s in changed if s.row.listed and not before[s.row.recipient_id].row.listed]
    await store.update_recipients(connection, changed, listed)
    moves: list[tuple[Row | None, Row, int]] = [
        (None, s.row, count(s.history)) for s in new if s.row.recipient_id in inserted
    ]
    for stored in changed:
        was = before[stored.row.recipient_id]
        moves.append((was.row, stored.row, count(stored.history) - count(was.history)))
    if moves:
        await store.change_figures(connection, changes(moves))


def _begins(events: list[Received]) -> bool:
    """Whether these are likely the recipient's first events, so that asking for its row first is not worth it."""
    return any(isinstance(received.event, e.RecipientAdded) for received in events)


def _blank(received: Received) -> Stored:
    return Stored(new_row(cast(RecipientEvent, received.event)), b"")


def _folded(stored: Stored, events: list[Received]) -> Stored:
    row, history = stored
    for received in events:
        event = cast(RecipientEvent, received.event)
        if (event.campaign_id, event.account_id) != (row.campaign_id, row.account_id):
            raise InvariantBroken(received, "the recipient belongs to another campaign or account")
    history = merge(history, map(_place, events))
    return Stored(fold(row, (cast(RecipientEvent, received.event) for received in events)), history)


async def _fold_others(connection: Connection, batch: list[Received]) -> None:
    created = _first(batch, e.CampaignCreated, "campaign_id")
    ended = _first(batch, e.CampaignEnded, "campaign_id")
    opted_out = _first(batch, e.PersonOptedOut, "event_id")
    opted_in = _first(batch, e.PersonOptedIn, "event_id")
    if created:
        await store.create_campaigns(connection, created)
    if ended:
        await store.end_campaigns(connection, ended)
    if opted_out or opted_in:
        await store.record_opt_outs(connection, [*opted_out.values(), *opted_in.values()])


def _first(batch: list[Received], kind: type[Found], key: str) -> dict[str, tuple[Found, bytes]]:
    """The events of a kind with their places, one for each value of the key field."""
    found: dict[str, tuple[Found, bytes]] = {}
    for received in batch:
        if isinstance(received.event, kind):
            found.setdefault(getattr(received.event, key), (received.event, _place(received)))
    return found


def _lists(batch: list[Received]) -> Iterable[tuple[str, tuple[str, ...]]]:
    return {(r.event.campaign_id, tuple(r.event.columns)) for r in batch if isinstance(r.event, e.RecipientAdded)}


def _place(received: Received) -> bytes:
    event, topic, partition, offset = received
    return pack(event.event_id, topic, partition, offset)
