"""The write side's tables once more, of its own events: campaigns, their lists, who was SENT."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import orjson
from kernel.database import Connection, Pool, load_queries
from kernel.received import Received
from kernel.replay import Rebuilt
from kernel.replay_facts import Facts, Rows, by_type
from kernel.replay_tables import LONG_S, keep_first

from schemas.events import CampaignCreated, CampaignEnded, RecipientAdded, RecipientProcessed

q = load_queries("send_intake", "replay.sql")

OWN = ("campaigns", "recipients", "processed")
OPERATIONAL = {
    "accounts", "users", "tokens", "sign_in_tries", "senders", "sendings", "claims", "clock",
    "campaigns.next_position", "recipients.erased",
}  # fmt: skip

Row = tuple[str, Sequence[Any]]


def _campaign(c: CampaignCreated) -> Row:
    said = c.name, c.text, c.scheduled_for, c.sender, c.occurred_at, c.actor
    return "campaigns", (c.campaign_id, c.account_id, *said, None, None, 0, c.senders, c.useful_until, c.time_zone)


def _end(end: CampaignEnded) -> Row:
    return "ends", (end.campaign_id, end.ended_at, end.ended_by)


def _recipient(r: RecipientAdded) -> Row:
    columns, cells = _list(r)
    listed = r.recipient_id, r.campaign_id, r.position, r.person_id, r.number, columns
    return "recipients", (*listed, None, None, None, cells, r.account_id)


def _list(r: RecipientAdded) -> tuple[str, str]:
    """Headers and cells as the table has them; of what 0.1.0 listed, as Postgres writes JSON (`0002_sealed.sql`)."""
    if r.cells:
        return orjson.dumps(list(r.columns)).decode(), r.cells
    names, values = list(r.columns), list(r.columns.values())
    return json.dumps(names, ensure_ascii=False), json.dumps(values, ensure_ascii=False)


def _press(p: RecipientProcessed) -> Row:
    reaches = p.scheduled_for is not None and p.due_at == p.processed_at
    return "presses", (
        p.recipient_id, p.campaign_id, p.account_id, p.person_id, p.sender, p.processed_at, p.processed_by, p.due_at,
        reaches,
    )  # fmt: skip


ROWS: dict[type, Callable[[Any], Row]] = {
    CampaignCreated: _campaign,
    CampaignEnded: _end,
    RecipientAdded: _recipient,
    RecipientProcessed: _press,
}


async def _note(_: Connection, batch: list[Received]) -> Rows:
    return by_type(ROWS, batch)


async def _finish(connection: Connection) -> None:
    for table, key in (("campaigns", "campaign_id"), ("recipients", "recipient_id"), ("presses", "recipient_id"),
                       ("ends", "campaign_id")):  # fmt: skip
        await keep_first(connection, table, key)
    for statement in (q.press, q.count_recipients, q.end_campaigns, q.reach, q.first_senders):
        await connection.execute(statement, timeout=LONG_S)


def _fold(pool: Pool) -> Facts:
    return Facts(pool, q.make, _note, _finish)


REBUILT = Rebuilt("send-intake", _fold, own=OWN, operational=frozenset(OPERATIONAL))
