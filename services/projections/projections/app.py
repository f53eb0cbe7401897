"""The fold: what a batch of events, of any topics and partitions, does to the read models."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar, cast

from kernel.batch import Applied, BatchLoop, Record
from kernel.database import Connection
from kernel.errors import InvariantBroken
from kernel.offsets import Position
from kernel.outbox import Outbox
from kernel.received import Received

from projections import store
from projections.changes import changes
from projections.progress import RecipientEvent, Row, fold, new_row
from projections.store import Stored
from projections.timeline import count, merge, pack
from schemas import events as e
from schemas.topics import TOPICS as ALL_TOPICS

# Every topic that says something about recipients. The clock would cost four transactions a second when idle; it is no
# part of the fold, and followed apart (`app_clock`).
TOPICS = tuple(name for name in ALL_TOPICS if name not in ("clock", "access"))
Found = TypeVar("Found")

# A batch costs 2 ms however small, a row as much for five events as for one: under load batches begin this far apart.
PACE_S = 0.1
FULL_BATCH = 1500


class PacedLoop(BatchLoop):
    """A batch loop that lets events gather. The first event after a quiet time is folded at once."""

    async def apply(self, records: Mapping[Position, Sequence[Record]]) -> Applied:
        begun = asyncio.get_running_loop().time()
        applied = await super().apply(records)
        if sum(map(len, records.values())) < FULL_BATCH:
            await asyncio.sleep(begun + PACE_S - asyncio.get_running_loop().time())
        return applied


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
    """Rows that exist are locked and written back, the others inserted.

    In this order two batches cannot wait for each other in a circle: locks go up the ids, inserts go up the ids, and
    whoever inserts waits for none of those who still lock.
    """
    ids = sorted(batch)
    before = await store.lock_recipients(connection, ids)
    after = [_folded(stored, batch[id_]) for id_, stored in before.items()]
    changed = [stored for stored in after if stored.history != before[stored.row.recipient_id].history]
    listed = [s for s in changed if s.row.listed and not before[s.row.recipient_id].row.listed]
    await store.update_recipients(connection, changed, listed)
    new = [_folded(_blank(batch[id_][0]), batch[id_]) for id_ in ids if id_ not in before]
    await store.insert_recipients(connection, new)
    moves: list[tuple[Row | None, Row, int]] = [(None, row, count(history)) for row, history in new]
    for row, history in changed:
        was = before[row.recipient_id]
        moves.append((was.row, row, count(history) - count(was.history)))
    if moves:
        await store.change_figures(connection, changes(moves))


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
    if erased := _first(batch, e.PersonErased, "event_id"):
        await store.record_erasures(connection, erased.values())


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
