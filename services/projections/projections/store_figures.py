"""Figures beyond a campaign's Progress, as people ask for them: over time, by sender, of an account."""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import orjson
from kernel.database import Pool, acting_for

from projections.course import MINUTE_S, MOST_POINTS, Span, points, usual_step
from projections.figures import numbers
from projections.progress import State
from projections.store import q
from projections.store_reads import Campaign

Answer = dict[str, Any]


class TooManyPoints(ValueError):
    """The step is too short for so long a campaign."""


async def over_time(pool: Pool, campaign: Campaign, step_s: int | None) -> Answer:
    """The figures at the end of each step in which they changed. Raises TooManyPoints."""
    async with acting_for(pool, campaign.account_id) as connection:
        [(first, last)] = await connection.fetch(q.span, campaign.campaign_id)
        span = Span(first, last) if first else None
        step_s = step_s or (usual_step(span) if span else MINUTE_S)
        if span and span.points(step_s) > MOST_POINTS:
            raise TooManyPoints
        rows = await connection.fetch(q.over_time, campaign.campaign_id, timedelta(seconds=step_s))
    return {"campaign_id": str(campaign.campaign_id), "step_s": step_s, "points": points(rows, step_s), **_as_of(rows)}


async def senders(pool: Pool, campaign: Campaign) -> list[Answer]:
    async with acting_for(pool, campaign.account_id) as connection:
        return [dict(row) for row in await connection.fetch(q.senders, campaign.campaign_id)]


async def totals(pool: Pool, account_id: str) -> Answer:
    """The sums over the account's campaigns: of the current ones, the completed ones, and all."""
    async with acting_for(pool, account_id) as connection:
        rows = await connection.fetch(q.totals, account_id)
    of = {row["completed"]: Counter({name: row[name] for name in ("campaigns", *State)}) for row in rows}
    current, completed = of.get(False, Counter()), of.get(True, Counter())
    parts = {"current": current, "completed": completed, "all": current + completed}
    told = {name: {"campaigns": part["campaigns"], **numbers(part)} for name, part in parts.items()}
    return {**told, **_as_of(rows)}


def _as_of(rows: Sequence[Any]) -> Answer:
    return {"as_of": orjson.Fragment(rows[0]["as_of"]) if rows else {}}
