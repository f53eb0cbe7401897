"""The scheduler's state in Postgres."""

from collections.abc import Iterable
from typing import Any

import orjson
from kernel.database import Connection, Pool, load_queries

from scheduler.release import End
from schemas.codec import decode, encode
from schemas.events import CampaignEnded, ClockAdvanced, RecipientProcessed

q = load_queries("scheduler")


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


async def hold(connection: Connection, messages: list[RecipientProcessed]) -> None:
    messages = sorted(messages, key=lambda m: m.recipient_id)
    await connection.execute(
        q.hold,
        [m.recipient_id for m in messages],
        [m.campaign_id for m in messages],
        [m.due_at for m in messages],
        [encode(m) for m in messages],
    )


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


async def take_due(connection: Connection, chunk: int) -> list[RecipientProcessed]:
    return _messages(await connection.fetch(q.take_due, chunk))


async def take_dropped(connection: Connection, chunk: int, campaign_ids: list[str]) -> list[RecipientProcessed]:
    return _messages(await connection.fetch(q.take_dropped, chunk, campaign_ids))


async def ended_early(source: Connection | Pool) -> list[str]:
    return [row["campaign_id"] for row in await source.fetch(q.ended_early)]


async def outlook(pool: Pool) -> dict[str, Any]:
    row = await pool.fetchrow(q.outlook)
    assert row is not None
    return dict(row)


def _messages(rows: list[Any]) -> list[RecipientProcessed]:
    messages = [decode(row["event"]) for row in rows]
    return [m for m in messages if isinstance(m, RecipientProcessed)]
