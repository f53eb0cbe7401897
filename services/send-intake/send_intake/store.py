"""Campaigns and their lists in Postgres."""

import asyncio
from collections.abc import Collection
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from time import monotonic
from typing import Any

import orjson
from kernel.database import Connection, Pool, Row, acting_for, load_queries
from kernel.outbox import Outbox
from kernel.seal import is_sealed

from send_intake.admission import Campaign, NewRecipient, added_event, created_event, ended_event
from send_intake.template import Template, parse

q = load_queries("send_intake")
access = load_queries("send_intake", "access.sql")

CONFIRMED_WITHIN_S = 2.0  # a leader is elected and has ticked by then, unless Kafka is away
CONFIRMED_POLL_S = 0.05


class Ended(Exception):
    """The campaign takes no more recipients."""


class ClockUnconfirmed(Exception):
    """The database is not the one the clock was last confirmed in: its time may lie behind what was published."""


class ForeignSender(Exception):
    """A sender number belongs to another account."""


async def campaign_row(pool: Pool, account_id: str, campaign_id: str) -> Row | None:
    async with acting_for(pool, account_id) as connection:
        return await connection.fetchrow(q.campaign, campaign_id, account_id)


async def campaign_rows(pool: Pool, account_id: str, completed: bool | None) -> list[Row]:
    async with acting_for(pool, account_id) as connection:
        return list(await connection.fetch(q.campaigns, account_id, completed))


def campaign_of(row: Row) -> Campaign:
    """What never changes of it; the row's text has been opened."""
    assert not is_sealed(row["text"]), "a sealed text would be sent as it is"
    return _campaign(row, _template(row["text"]))


def unopened(row: Row) -> Campaign:
    """The same for what needs no text, and must not wait for the key that opens it: an END."""
    return _campaign(row, Template((), (), ""))


def _campaign(row: Row, template: Template) -> Campaign:
    senders = tuple(senders_of(row))
    return Campaign(row["id"], row["account"], template, row["scheduled_for"], senders, row["useful_until"])


def senders_of(row: Row) -> list[str]:
    """All numbers a campaign's texts are sent from; one that was created before there could be several has its own."""
    return list(row["senders"]) or [row["sender"]]


async def time(connection: Connection) -> datetime:
    """The clock everybody goes by."""
    now: datetime = await connection.fetchval(q.now)
    return now


async def time_for(pool: Pool, account_id: str) -> datetime:
    """The same, asked by an account."""
    async with acting_for(pool, account_id) as connection:
        return await time(connection)


async def create_campaign(
    pool: Pool,
    campaign_id: str,
    account_id: str,
    user_id: str,
    name: str,
    sealed_text: str,
    scheduled_for: datetime | None,
    senders: tuple[str, ...] = (),
    useful_until: datetime | None = None,
    time_zone: str | None = None,
) -> None:
    """Raises ForeignSender. The text must have been parsed before it was sealed. No senders: the account's number."""
    async with acting_for(pool, account_id) as connection, connection.transaction():
        numbers = senders or (await connection.fetchval(q.account_sender, account_id),)
        await claim_senders(connection, account_id, numbers)
        now = await time(connection)
        said = name, sealed_text, scheduled_for, numbers, useful_until, time_zone
        await connection.execute(q.create_campaign, campaign_id, account_id, *said, now, user_id)
        outbox = Outbox()
        outbox.add(created_event(campaign_id, account_id, *said, user_id=user_id, at=now))
        await outbox.write(connection)


async def claim_senders(connection: Connection, account_id: str, numbers: Collection[str]) -> int:
    """The numbers are the account's from now on; how many were not yet. In a transaction. Raises ForeignSender."""
    new = await connection.fetch(q.claim_senders, list(numbers), account_id)
    # Asked in a statement of its own, which also sees whom the one before had to wait for.
    if await connection.fetchval(q.own_senders, list(numbers), account_id) != len(set(numbers)):
        raise ForeignSender
    return len(new)


async def add_sender(pool: Pool, account_id: str, number: str) -> bool:
    """Whether the number is new to the account. Raises ForeignSender."""
    async with acting_for(pool, account_id) as connection, connection.transaction():
        return bool(await claim_senders(connection, account_id, [number]))


async def sender_rows(pool: Pool, account_id: str) -> list[Row]:
    """The account's numbers, each with whether it is the one for campaigns that name none."""
    async with acting_for(pool, account_id) as connection:
        return list(await connection.fetch(q.senders, account_id))


async def end_campaign(pool: Pool, campaign: Campaign, user_id: str) -> None:
    """Ends it if it is not ended. Raises ClockUnconfirmed.

    After a restore, or a start of the server, it waits for the relay's leader to confirm the clock. A start alone it
    does not insist on: Kafka may be away, and with it the leader, and a server that merely started has lost nothing.
    """
    try:
        await _end(pool, campaign, user_id, since_start=True)
    except ClockUnconfirmed:
        await _until_confirmed(pool, campaign)
        await _end(pool, campaign, user_id, since_start=False)


async def _end(pool: Pool, campaign: Campaign, user_id: str, since_start: bool) -> None:
    """Lock order: the campaign, its senders' rows, then the clock, and that briefly: the next tick waits for it."""
    async with acting_for(pool, campaign.account_id) as connection, connection.transaction():
        await connection.execute(q.lock_campaign, campaign.campaign_id)
        await connection.execute(q.free_everyone, campaign.campaign_id)
        await connection.execute(q.lock_clock_shared)
        ended_at = await connection.fetchval(q.end_campaign, campaign.campaign_id, user_id, since_start)
        if ended_at is None:
            if await connection.fetchval(q.ended_at, campaign.campaign_id) is None:
                raise ClockUnconfirmed
            return
        outbox = Outbox()
        outbox.add(ended_event(campaign, user_id, ended_at))
        await outbox.write(connection)


async def _until_confirmed(pool: Pool, campaign: Campaign) -> None:
    """Returns when it is, and also when that takes too long. Holds no connection meanwhile."""
    deadline = monotonic() + CONFIRMED_WITHIN_S
    while monotonic() < deadline:
        async with acting_for(pool, campaign.account_id) as connection:
            if await connection.fetchval(q.confirmed):
                return
        await asyncio.sleep(CONFIRMED_POLL_S)


async def add_recipients(pool: Pool, campaign: Campaign, user_id: str, found: Collection[NewRecipient]) -> int:
    """Adds a piece of a list in one transaction; returns how many were new. Raises Ended.

    In id order, so that two imports never wait for each other in a ring.
    """
    async with acting_for(pool, campaign.account_id) as connection, connection.transaction():
        await connection.execute(q.lock_campaign_shared, campaign.campaign_id)
        places = 1 + max((recipient.position for recipient in found), default=-1)
        first = await connection.fetchval(q.take_positions, campaign.campaign_id, places)
        if first is None:
            raise Ended(campaign.campaign_id)
        now = await time(connection)
        new = [replace(recipient, position=first + recipient.position) for recipient in found]
        added = await _insert(connection, campaign, sorted(new, key=lambda r: r.recipient_id))
        await connection.execute(q.count_recipients, campaign.campaign_id, len(added))
        outbox = Outbox()
        outbox.extend(added_event(campaign, recipient, user_id, now) for recipient in added)
        await outbox.write(connection)
    return len(added)


async def _insert(connection: Connection, campaign: Campaign, new: list[NewRecipient]) -> list[NewRecipient]:
    rows = await connection.fetch(
        q.add_recipients,
        campaign.account_id,
        campaign.campaign_id,
        [r.recipient_id for r in new],
        [r.position for r in new],
        [r.person_id for r in new],
        [r.number for r in new],
        [orjson.dumps(r.columns).decode() for r in new],
        [r.cells for r in new],
    )
    inserted = {row["recipient_id"] for row in rows}
    return sorted((r for r in new if r.recipient_id in inserted), key=lambda r: r.position)


async def pressed(pool: Pool, account_id: str, campaign_id: str) -> dict[str, Any]:
    async with acting_for(pool, account_id) as connection:
        row = await connection.fetchrow(q.pressed, campaign_id)
    assert row is not None
    return dict(row)


@lru_cache(maxsize=1024)
def _template(text: str) -> Template:
    template = parse(text)
    assert isinstance(template, Template), "a campaign's text was parsed before it was stored"
    return template
