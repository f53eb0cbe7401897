"""Who is sending which campaign, and which rows they were shown."""

from typing import Any, NamedTuple

import asyncpg
from kernel.database import Connection, Pool, Row, acting_for
from kernel.vault import KeysMissing, Vault

from send_intake.store import Ended, q
from send_intake.store_sealed import Person, open_rows

CLAIM_TRIES = 3


class Shown(NamedTuple):
    """A row to press SEND on."""

    recipient_id: str
    position: int
    person: Person


class SendingAnother(Exception):
    """Another campaign holds the user."""

    def __init__(self, campaign_id: str, name: str) -> None:
        super().__init__(campaign_id)
        self.campaign_id, self.name = campaign_id, name


async def start(pool: Pool, account_id: str, campaign_id: str, user_id: str, take_over: bool) -> Any:
    """The user sends this campaign from now on; since when. Raises Ended, SendingAnother."""
    async with acting_for(pool, account_id) as connection, connection.transaction():
        await connection.execute(q.lock_campaign_shared, campaign_id)
        if await connection.fetchval(q.ended_at, campaign_id) is not None:
            raise Ended(campaign_id)
        since = await connection.fetchval(q.start_sending, user_id, campaign_id, take_over, account_id)
        if since is None:
            holder = await connection.fetchrow(q.sending_of, user_id)
            assert holder is not None, "only a row that stands refuses the start"
            raise SendingAnother(holder["campaign_id"], holder["name"])
        await connection.execute(q.drop_other_claims, user_id, campaign_id)
        return since


async def stop(pool: Pool, account_id: str, campaign_id: str, user_id: str) -> None:
    async with acting_for(pool, account_id) as connection:
        await connection.execute(q.stop_sending, user_id, campaign_id)


async def is_sending(pool: Pool, account_id: str, campaign_id: str, user_id: str) -> bool:
    async with acting_for(pool, account_id) as connection:
        return bool(await connection.fetchval(q.is_sending, user_id, campaign_id))


async def of_user(pool: Pool, account_id: str, user_id: str) -> Row | None:
    """The campaign (`campaign_id`, `name`) that holds the user, if one does."""
    async with acting_for(pool, account_id) as connection:
        return await connection.fetchrow(q.sending_of, user_id)


async def leave(pool: Pool, account_id: str, campaign_id: str, user_id: str) -> None:
    """The rows the user was shown and has not SENT go back; they still send the campaign."""
    async with acting_for(pool, account_id) as connection:
        await connection.execute(q.give_back, user_id, campaign_id)


async def next_rows(
    pool: Pool,
    vault: Vault,
    account_id: str,
    campaign_id: str,
    user_id: str,
    limit: int,
    claim_s: int,
    fair: bool = False,
) -> list[Shown]:
    """The user's own rows first, topped up to `limit` with rows nobody holds, in the list's order.

    `fair`: when fewer are left than all who send it would hold, each holds no more than their part.

    People who were erased are found out here, where there is nothing to show of them; others take their place.
    """
    while True:
        rows = await _claimed(pool, account_id, campaign_id, user_id, limit, claim_s, fair)
        people = await open_rows(vault, rows)
        erased = [recipient_id for recipient_id, person in people.items() if person is None]
        if rows and not people:
            raise KeysMissing("none of these people's data can be read")
        if not erased:
            return [
                Shown(row["recipient_id"], row["position"], person)
                for row in rows
                if (person := people.get(row["recipient_id"])) is not None
            ]
        async with acting_for(pool, account_id) as connection:
            await connection.execute(q.erase_rows, erased)


async def _claimed(
    pool: Pool, account_id: str, campaign_id: str, user_id: str, limit: int, claim_s: int, fair: bool
) -> list[asyncpg.Record]:
    async with acting_for(pool, account_id) as connection, connection.transaction():
        if fair:
            limit = await _part(connection, campaign_id, user_id, limit)
        rows = await connection.fetch(q.own_claims, user_id, campaign_id, limit, claim_s)
        for _ in range(CLAIM_TRIES):  # a row another user claimed at this moment is skipped; the next try sees past it
            if len(rows) < limit:
                rows += await connection.fetch(q.claim_more, user_id, campaign_id, limit - len(rows), claim_s)
    return sorted(rows, key=lambda row: row["position"])


async def _part(connection: Connection, campaign_id: str, user_id: str, limit: int) -> int:
    """How many rows a user may hold, at most `limit`; what anybody holds beyond it goes back."""
    found = await connection.fetchrow(q.left_to_share, campaign_id, limit, user_id)
    assert found is not None
    part: int = min(limit, -(-found["left"] // found["senders"]))
    if part < limit:
        await connection.execute(q.share, campaign_id, part)
    return max(1, part)
