"""Postgres: the pool, and messages on their way in."""

from collections.abc import Sequence

from kernel import database
from kernel.database import Connection, Pool, load_queries
from kernel.seal import key_id_of

from schemas import events as e

SCHEMA = "dispatcher"
# Every hot statement is a handful of index look-ups. A planner that meets our tables while they are small would rather
# read them whole, and keep that plan while they grow: 7 µs an intent become seconds.
INDEXES_ONLY = {f"enable_{way}": "off" for way in ("seqscan", "bitmapscan", "hashjoin", "mergejoin")}

FIRST_ID, LAST_ID = "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"

q = load_queries("dispatcher")
of_providers = load_queries("dispatcher", "providers.sql")


async def open_pool(url: str, max_size: int = 8) -> Pool:
    """The service's pool; its sessions never read a table whole."""
    return await database.open_pool(url, SCHEMA, min_size=1, max_size=max_size, **INDEXES_ONLY)


async def enqueue(connection: Connection, released: Sequence[e.MessageReleased]) -> None:
    """Gives each new message its permanent row and a place in its lane; a repeated one changes nothing."""
    unique = {message.recipient_id: message for message in released}
    messages = [unique[recipient_id] for recipient_id in sorted(unique)]
    await connection.execute(
        q.enqueue,
        [m.recipient_id for m in messages],
        [m.account_id for m in messages],
        [m.campaign_id for m in messages],
        [m.person_id for m in messages],
        [m.event_id for m in messages],
        [m.due_at for m in messages],
        [m.number for m in messages],
        [m.text for m in messages],
        [m.sender for m in messages],
        [key_id_of(m.number) for m in messages],
        [m.useful_until for m in messages],
    )
