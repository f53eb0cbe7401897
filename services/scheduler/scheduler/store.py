"""The scheduler's state in Postgres."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import orjson
from kernel.database import Connection, Pool, Row, load_queries
from kernel.outbox import pack, unpack

from scheduler.release import End, Group, Waiting, released
from schemas.codec import decode, encode, key_of
from schemas.events import CampaignEnded, ClockAdvanced, MessageReleased, RecipientProcessed

q = load_queries("scheduler")

# What is taken is a few thousand of millions, in the index's order. Without statistics of a table that was just filled
# Postgres would rather read and sort all that is held: 260 ms a chunk instead of 7. And an instance that freezes in the
# middle of a batch keeps its rows of `waiting` locked, and the releases of those campaigns waiting: not for long.
SESSION = {
    "enable_bitmapscan": "off",
    "enable_seqscan": "off",
    "idle_in_transaction_session_timeout": "3s",
}


@dataclass(frozen=True, slots=True)
class Ask:
    """Messages to take: of these that wait, those held after the last one taken, `each` at most."""

    waiting: Sequence[Waiting]
    after: dict[Group, int]
    each: int

    @property
    def columns(self) -> tuple[list[str], list[datetime], list[int], int]:
        return (
            [w.campaign_id for w in self.waiting],
            [w.due_at for w in self.waiting],
            [self.after.get(w.group, 0) for w in self.waiting],
            self.each,
        )


@dataclass(frozen=True, slots=True)
class Left:
    """So many messages of a group have left, the one that was held last among them, so long after they were due."""

    group: Group
    messages: int
    last: int
    late: timedelta


async def end_campaigns(connection: Connection, ends: list[CampaignEnded]) -> None:
    await connection.execute(
        q.end_campaigns,
        [e.campaign_id for e in ends],
        [e.ended_at for e in ends],
        [e.scheduled_for for e in ends],
        [e.event_id for e in ends],
    )


async def ends_of(connection: Connection, campaign_ids: Iterable[str]) -> dict[str, End]:
    rows = await connection.fetch(q.ends_of, list(set(campaign_ids)))
    return {row["campaign_id"]: End(row["ended_at"], row["event_id"]) for row in rows}


async def hold(connection: Connection, messages: list[RecipientProcessed]) -> bool:
    """Whether any of them is due already. In the order of arrival: nobody else holds the same, for a recipient's
    events are of one partition, and that is ours until we commit."""
    await connection.execute(
        q.hold,
        [m.recipient_id for m in messages],
        [m.campaign_id for m in messages],
        [m.due_at for m in messages],
        [record(released(m)) for m in messages],
    )
    return bool(await connection.fetchval(q.has_passed, min(m.due_at for m in messages)))


async def keep_clocks(connection: Connection, clocks: list[ClockAdvanced]) -> None:
    await connection.execute(
        q.keep_clocks, [c.at for c in clocks], [orjson.dumps(c.campaigns_offsets).decode() for c in clocks]
    )


async def advance_watermark(connection: Connection) -> bool:
    """Whether time went on."""
    moved = await connection.fetchval(q.advance_watermark) is not None
    if moved:
        await connection.execute(q.forget_clocks)
    return moved


async def ready(pool: Pool, most: int) -> list[Waiting]:
    """Whose messages can leave now, those due first."""
    return [
        Waiting(row["campaign_id"], row["due_at"], End(row["ended_at"], row["event_id"]) if row["event_id"] else None)
        for row in await pool.fetch(q.ready, most)
    ]


async def release(connection: Connection, ask: Ask) -> list[Left]:
    """What has left for the outbox."""
    rows = await connection.fetch(q.release, *ask.columns)
    return [Left((row["campaign_id"], row["due_at"]), row["messages"], row["last"], row["late"]) for row in rows]


async def make_ready(connection: Connection, waiting: Sequence[Waiting], most: int) -> int:
    """What 0.1.0 held of these becomes what is held today; how many were found."""
    rows = await connection.fetch(q.old, [w.campaign_id for w in waiting], most)
    records = [record(release_of(row["event"])) for row in rows]
    await connection.execute(q.make_ready, [row["recipient_id"] for row in rows], records)
    return len(rows)


async def take(connection: Connection, ask: Ask) -> dict[Group, list[tuple[int, MessageReleased]]]:
    """What was taken to be dropped, with the order it was held in."""
    taken: dict[Group, list[tuple[int, MessageReleased]]] = {}
    for row in await connection.fetch(q.take, *ask.columns):
        taken.setdefault((row["campaign_id"], row["due_at"]), []).append((row["seq"], message_of(row)))
    return taken


async def gone(connection: Connection, recipient_ids: list[str]) -> set[str]:
    return {row["recipient_id"] for row in await connection.fetch(q.gone, recipient_ids)}


def record(event: MessageReleased) -> bytes:
    """What the outbox takes of it."""
    return pack([(key_of(event), encode(event))])


def message_of(row: Row) -> MessageReleased:
    """What is held in a row of `held`, in whatever version."""
    if row["release"] is None:
        return release_of(row["event"])
    return _one(decode(value) for _, value in unpack(row["release"]))


def release_of(processed: bytes) -> MessageReleased:
    """What follows from what 0.1.0 held."""
    event = decode(processed)
    assert isinstance(event, RecipientProcessed)
    return released(event)


def _one(events: Iterator[object]) -> MessageReleased:
    [event] = events
    assert isinstance(event, MessageReleased)
    return event
