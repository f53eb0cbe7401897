"""The read models in Postgres, as people ask for them: each question acts for the account that asks."""

from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from kernel.database import Connection, Pool, acting_for

from projections.figures import numbers
from projections.progress import State
from projections.report import COLUMNS, WORDS, header_line, own_columns, words
from projections.store import q
from projections.timeline import Place, unpack

REPORT_TIMEOUT_S = 900.0
Sink = Callable[[bytes], Coroutine[Any, Any, None]]
Key = tuple[str, str]  # account_id of whoever asks, campaign_id


class Progress(NamedTuple):
    """A campaign's figures as JSON, and how many events they count."""

    version: int
    body: bytes


class Cursor(NamedTuple):
    """A place in list order."""

    position: int
    recipient_id: UUID


class Campaign(NamedTuple):
    """A campaign of the caller's account."""

    account_id: str
    campaign_id: UUID
    name: str | None

    @property
    def key(self) -> Key:
        return self.account_id, str(self.campaign_id)


async def campaign(pool: Pool, campaign_id: UUID, account_id: str) -> Campaign | None:
    async with acting_for(pool, account_id) as connection:
        row = await connection.fetchrow(q.campaign, campaign_id, account_id)
    return Campaign(account_id, campaign_id, row["name"]) if row else None


async def progress(pool: Pool, asked: Iterable[Key]) -> dict[Key, Progress]:
    return {_key(row): _progress(row) for row in await _of_campaigns(pool, q.progress, asked)}


async def versions(pool: Pool, asked: Iterable[Key]) -> dict[Key, int]:
    return {_key(row): row["version"] for row in await _of_campaigns(pool, q.versions, asked)}


async def _of_campaigns(pool: Pool, statement: str, asked: Iterable[Key]) -> list[Any]:
    accounts, campaigns = {account for account, _ in asked}, [campaign_id for _, campaign_id in asked]
    async with acting_for(pool, *accounts) as connection:
        return list(await connection.fetch(statement, campaigns))


def _key(row: Any) -> Key:
    return row["account_id"], row["campaign_id"]


def _progress(row: Any) -> Progress:
    answer = {
        "campaign_id": row["campaign_id"],
        "name": row["name"],
        "state": "completed" if row["ended_at"] else "current",
        "scheduled_for": row["scheduled_for"],
        "ended_at": row["ended_at"],
        **numbers({state: row[state] for state in State}),
        "failed_by_reason": orjson.Fragment(row["failed_by_reason"]),
        "as_of": orjson.Fragment(row["as_of"]),
    }
    return Progress(row["version"], orjson.dumps(answer, option=orjson.OPT_UTC_Z))


async def page(
    pool: Pool, campaign: Campaign, after: Cursor, states: Sequence[str] | None, reason: str | None, limit: int
) -> tuple[list[dict[str, Any]], Cursor | None]:
    """Recipients in list order, and where the next page begins if there is one."""
    async with acting_for(pool, campaign.account_id) as connection:
        rows = await connection.fetch(q.page, campaign.campaign_id, *after, states, reason, limit + 1)
    last = rows[limit - 1] if len(rows) > limit else None
    return [_described(row) for row in rows[:limit]], Cursor(last["position"], last["recipient_id"]) if last else None


async def recipient(pool: Pool, campaign: Campaign, recipient_id: UUID) -> dict[str, Any] | None:
    async with acting_for(pool, campaign.account_id) as connection:
        row = await connection.fetchrow(q.recipient, campaign.campaign_id, recipient_id)
    return _described(row) if row else None


def _described(row: Any) -> dict[str, Any]:
    """The report's columns by name, and the list's own."""
    why = words(row["state"], row["reason_code"])
    known = {**dict(row), "recipient_id": str(row["recipient_id"]), "reason": why.reason, "advice": why.advice}
    return {**{name: known[name] for name in COLUMNS}, "columns": orjson.Fragment(row["columns"] or "{}")}


async def states(pool: Pool, campaign: Campaign, recipient_ids: Sequence[UUID]) -> dict[str, str]:
    async with acting_for(pool, campaign.account_id) as connection:
        return {row[0]: row[1] for row in await connection.fetch(q.states, campaign.campaign_id, recipient_ids)}


async def places(pool: Pool, campaign: Campaign, recipient_id: UUID) -> list[Place] | None:
    """Where everything about the recipient lies in the log; None for a recipient that is not the campaign's."""
    async with acting_for(pool, campaign.account_id) as connection:
        row = await connection.fetchrow(q.places, campaign.campaign_id, recipient_id)
    if row is None:
        return None
    return list(unpack(b"".join(filter(None, [row["history"], row["created_place"], row["ended_place"]]))
                       + b"".join(row["opt_out_places"])))  # fmt: skip


async def write_report(connection: Connection, campaign_id: UUID, write: Sink) -> None:
    """The whole report, header first, all of it as of one moment; `write` may make it wait."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        # A reader may be slow, but not for ever: the snapshot it holds keeps Postgres from tidying up.
        await connection.execute(f"SET LOCAL statement_timeout = '{REPORT_TIMEOUT_S:.0f}s'")
        own = own_columns(row[0] for row in await connection.fetch(q.columns_of, campaign_id))
        await write(header_line(own))
        cells = "".join(f", cell(d.columns ->> ${n}::text)" for n in range(3, 3 + len(own)))
        said = orjson.dumps(WORDS, option=orjson.OPT_NON_STR_KEYS).decode()
        await connection.copy_from_query(
            q.report.replace("{own}", cells), campaign_id, said, *own,
            output=write, format="csv", timeout=REPORT_TIMEOUT_S,
        )  # fmt: skip
