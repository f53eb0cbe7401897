"""Postgres: messages that wait while their latest useful time passes leave the queue, turn or no turn."""

from datetime import datetime

from kernel.database import Pool, load_queries
from kernel.outbox import Outbox

from dispatcher.clearance import Suppress
from dispatcher.store import q
from dispatcher.store_intents import suppressed_event
from schemas.reasons import SuppressReason

late = load_queries("dispatcher", "late.sql")

AT_ONCE = 2000
TOO_LATE = Suppress(SuppressReason.TOO_LATE)


async def suppress_late(pool: Pool, at: datetime, most: int = AT_ONCE) -> tuple[int, bool]:
    """Looks at the next messages whose time was over at `at`: how many are not sent, and whether there may be more.

    Each is looked at once. One that is with the carrier then, or comes later, is told at its next turn.
    """
    outbox = Outbox()
    async with pool.acquire() as connection, connection.transaction():
        since = await connection.fetchrow(late.lock)
        if since is None:
            return 0, False
        rows = await connection.fetch(late.step, since["useful_until"], since["recipient_id"], at, most)
        if not rows:
            return 0, False
        taken = await connection.fetch(late.take, [row["recipient_id"] for row in rows])
        if taken:
            await connection.execute(q.suppress, [row["recipient_id"] for row in taken], at)
        outbox.extend(suppressed_event(row, TOO_LATE, at, row["useful_until"]) for row in taken)
        await connection.execute(late.looked_at, rows[-1]["useful_until"], rows[-1]["recipient_id"])
        await outbox.write(connection)
    return len(taken), len(rows) == most
