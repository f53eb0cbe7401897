"""What a stand-in service does with events: writes down which it was given, in which process. A double is two rows."""

import asyncio
import os
from collections.abc import Callable, Sequence

from kernel.batch import BatchLoop, Handler
from kernel.database import Connection, Pool
from kernel.errors import InvariantBroken
from kernel.offsets import Position
from kernel.outbox import Outbox, unpack
from kernel.received import Received
from kernel.testing import processed

from schemas.events import Event, MessageReleased, RecipientProcessed
from schemas.identity import event_id

SCHEMA = "ledger"
LEDGER = """CREATE TABLE ledger (
    seq bigint GENERATED ALWAYS AS IDENTITY, topic text, partition int, event_offset bigint, pid int)"""
TOPIC = "processed"
FIRST, SECOND = BOTH = ((TOPIC, 0), (TOPIC, 1))


async def keep(connection: Connection, batch: list[Received], outbox: Outbox) -> None:
    """A handler: a row per event, and an event of its own for each press."""
    await connection.executemany(
        "INSERT INTO ledger (topic, partition, event_offset, pid) VALUES ($1, $2, $3, $4)",
        [(r.topic, r.partition, r.offset, os.getpid()) for r in batch],
    )
    outbox.extend(released(r.event) for r in batch if isinstance(r.event, RecipientProcessed))


def refusing(wrong: Callable[[Received], bool]) -> Handler:
    """`keep`, but for events that cannot be true; it finds them only after it has written."""

    async def handler(connection: Connection, batch: list[Received], outbox: Outbox) -> None:
        await keep(connection, batch, outbox)
        for received in reversed(batch):
            if wrong(received):
                raise InvariantBroken(received, "this cannot be true")

    return handler


def released(event: RecipientProcessed) -> MessageReleased:
    return MessageReleased(
        event_id=event_id(event.recipient_id, "MessageReleased"), account_id=event.account_id,
        campaign_id=event.campaign_id, recipient_id=event.recipient_id, person_id=event.person_id,
        occurred_at=event.due_at, actor="ledger", caused_by=event.event_id, due_at=event.due_at,
        scheduled_for=event.scheduled_for, number=event.number, text=event.text, sender=event.sender,
    )  # fmt: skip


async def a_loop(pool: Pool, handler: Handler = keep, positions: Sequence[Position] = BOTH) -> BatchLoop:
    """A batch loop as a process has one, its partitions just assigned."""
    for topic, partition in positions:
        await pool.execute("INSERT INTO offsets VALUES ($1, $2, 0) ON CONFLICT DO NOTHING", topic, partition)
    loop = BatchLoop(pool, handler, asyncio.Event())
    await loop.positions(positions)
    return loop


async def kept(pool: Pool, partition: int = 0) -> list[int]:
    """The offsets of a partition the handler was given, in the order of its doing so."""
    rows = await pool.fetch("SELECT event_offset FROM ledger WHERE partition = $1 ORDER BY seq", partition)
    return [row["event_offset"] for row in rows]


async def in_outbox(pool: Pool) -> int:
    """How many events wait for the relay."""
    return sum(len(list(unpack(row["events"]))) for row in await pool.fetch("SELECT events FROM outbox"))


def presses(count: int, start: int = 0) -> list[Event]:
    return [processed(n) for n in range(start, start + count)]
