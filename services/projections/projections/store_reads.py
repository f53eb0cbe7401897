"""The read models in Postgres, as people ask for them: each question acts for the account that asks."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from kernel.database import Pool, acting_for
from kernel.vault import Vault

from projections import people
from projections.figures import numbers
from projections.progress import State
from projections.report import COLUMNS, words
from projections.store import q
from projections.timeline import Place, unpack
from projections.wait import Waiting, WaitsFor

Key = tuple[str, str]  # account_id of whoever asks, campaign_id


class Version(NamedTuple):
    """How many events figures count, and in which table they stand: a promote may tell others of the same events."""

    events: int
    table: int


class Progress(NamedTuple):
    """A campaign's figures, which they are, and who of it waits."""

    version: Version
    waiting: Waiting
    answer: dict[str, Any]

    def body(self, waits_for: WaitsFor | None) -> bytes:
        """The answer as JSON. What they wait for is not in the figures: it changes as time goes on."""
        return orjson.dumps({**self.answer, "waits_for": waits_for}, option=orjson.OPT_UTC_Z)


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


async def versions(pool: Pool, asked: Iterable[Key]) -> dict[Key, Version]:
    return {_key(row): _version(row) for row in await _of_campaigns(pool, q.versions, asked)}


async def _of_campaigns(pool: Pool, statement: str, asked: Iterable[Key]) -> list[Any]:
    keys = list(asked)
    async with acting_for(pool, *{account_id for account_id, _ in keys}) as connection:
        return list(await connection.fetch(statement, [campaign_id for _, campaign_id in keys]))


def _key(row: Any) -> Key:
    return row["account_id"], row["campaign_id"]


def _version(row: Any) -> Version:
    return Version(row["version"], row["tableoid"])


def _progress(row: Any) -> Progress:
    answer = {
        "campaign_id": row["campaign_id"],
        "name": row["name"],
        "state": "completed" if row["ended_at"] else "current",
        "scheduled_for": row["scheduled_for"],
        "ended_at": row["ended_at"],
        **numbers({state: row[state] for state in State}),
        "waits_for": None,
        "failed_by_reason": orjson.Fragment(row["failed_by_reason"]),
        "as_of": orjson.Fragment(row["as_of"]),
    }
    return Progress(_version(row), Waiting(row["waiting"], row["scheduled_for"], row["ended_at"]), answer)


async def page(
    pool: Pool,
    vault: Vault,
    campaign: Campaign,
    after: Cursor,
    states: Sequence[str] | None,
    reason: str | None,
    limit: int,
) -> tuple[list[dict[str, Any]], Cursor | None]:
    """Recipients in list order, and where the next page begins if there is one."""
    async with acting_for(pool, campaign.account_id) as connection:
        rows = await connection.fetch(q.page, campaign.campaign_id, *after, states, reason, limit + 1)
    last = rows[limit - 1] if len(rows) > limit else None
    return await _described(vault, rows[:limit]), Cursor(last["position"], last["recipient_id"]) if last else None


async def recipient(pool: Pool, vault: Vault, campaign: Campaign, recipient_id: UUID) -> dict[str, Any] | None:
    async with acting_for(pool, campaign.account_id) as connection:
        rows = await connection.fetch(q.recipient, campaign.campaign_id, recipient_id)
    found = await _described(vault, rows)
    return found[0] if found else None


async def recipients_of_person(pool: Pool, vault: Vault, person_id: UUID, account_id: str) -> list[dict[str, Any]]:
    async with acting_for(pool, account_id) as connection:
        rows = await connection.fetch(q.recipients_of_person, person_id, account_id)
    found = await _described(vault, rows)
    return [{"campaign_id": str(row["campaign_id"]), **one} for row, one in zip(rows, found, strict=True)]


async def _described(vault: Vault, rows: Sequence[Any]) -> list[dict[str, Any]]:
    """The report's columns by name, and the list's own."""
    keys = await vault.keys(str(row["person_id"]) for row in rows)
    return [_one(row, people.person(keys.get(str(row["person_id"])), *_sealed(row))) for row in rows]


def _sealed(row: Any) -> tuple[str | None, str | None, str | None]:
    return row["phone"], row["columns"], row["cells"]


def _one(row: Any, person: people.Person) -> dict[str, Any]:
    why = words(row["state"], row["reason_code"])
    known = {
        **dict(row),
        "recipient_id": str(row["recipient_id"]),
        "phone": person.phone,
        "first_name": person.first_name,
        "last_name": person.last_name,
        "reason": why.reason,
        "advice": why.advice,
    }
    return {**{name: known[name] for name in COLUMNS}, "columns": person.cells}


async def states(pool: Pool, campaign: Campaign, recipient_ids: Sequence[UUID]) -> dict[str, str]:
    async with acting_for(pool, campaign.account_id) as connection:
        return {row[0]: row[1] for row in await connection.fetch(q.states, campaign.campaign_id, recipient_ids)}


class Places(NamedTuple):
    """Where everything about a recipient lies in the log, and whose it is."""

    person_id: str
    places: list[Place]


async def places(pool: Pool, campaign: Campaign, recipient_id: UUID) -> Places | None:
    """None for a recipient that is not the campaign's."""
    async with acting_for(pool, campaign.account_id) as connection:
        row = await connection.fetchrow(q.places, campaign.campaign_id, recipient_id)
    if row is None:
        return None
    of_campaign = filter(None, [row["created_place"], row["ended_place"]])
    return Places(row["person_id"], list(unpack(b"".join([row["history"], *of_campaign, *row["person_places"]]))))
