"""In Postgres: however the log comes, in whatever batches, every table is what the history in order makes of it."""

import random
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kernel.database import Connection, Pool
from kernel.outbox import Outbox
from kernel.received import Received
from projections.app import handle
from projections.figures import numbers
from projections.progress import State
from projections.store import drifted

from tests.unit.projections.histories import Log, batches, histories, log_of

OF_KERNEL = {"offsets", "topic_ids", "outbox", "produced", "stopped", "set_aside", "migrations"}
TABLES = "SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema() ORDER BY 1"
SUMS_TO_RECIPIENTS = """
SELECT c.campaign_id::text, c.*, (SELECT count(*) FROM recipients r WHERE r.campaign_id = c.campaign_id) AS rows,
       (SELECT coalesce(sum(n), 0) FROM failed_by_reason f WHERE f.campaign_id = c.campaign_id) AS reasons
  FROM campaigns c
"""


@settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
@given(events=histories(), chance=st.randoms(use_true_random=False))
async def test_any_batches_of_the_log_make_the_tables_of_the_history_in_order(
    read_models: Pool, events: list[Any], chance: random.Random
) -> None:
    log = log_of(events, chance)
    async with undone(read_models) as connection:
        for batch in batches(log, chance):
            await handle(connection, batch, Outbox())
            assert await drifted(connection) == []
            await adds_up(connection)
        found = await exported(connection)
    async with undone(read_models) as connection:
        for received in in_order(events, log):
            await handle(connection, [received], Outbox())
        assert await exported(connection) == found


def in_order(events: list[Any], log: Log) -> Iterable[Received]:
    """The events as they happened, each at its first place in the log."""
    first: dict[str, Received] = {}
    for records in log.values():
        for received in records:
            first.setdefault(received.event.event_id, received)
    return [first[event.event_id] for event in events]


async def adds_up(connection: Connection) -> None:
    for row in await connection.fetch(SUMS_TO_RECIPIENTS):
        told = numbers({state: row[state] for state in State})
        assert told["recipients"] == row["rows"] and told["failed"] == row["reasons"]
        assert min(told.values()) >= 0


async def exported(connection: Connection) -> dict[str, list[Any]]:
    """Every read model, from the catalogue; a reason nobody failed for any more is none."""
    names = [row[0] for row in await connection.fetch(TABLES) if row[0] not in OF_KERNEL]
    assert {"recipients", "campaigns", "opt_outs", "erasures", "list_columns"} <= set(names)
    found = {name: sorted(map(tuple, await connection.fetch(f"SELECT * FROM {name}")), key=repr) for name in names}
    found["failed_by_reason"] = [row for row in found["failed_by_reason"] if row[-1]]
    return found


@asynccontextmanager
async def undone(pool: Pool) -> AsyncIterator[Connection]:
    """A transaction that leaves nothing behind."""
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        try:
            yield connection
        finally:
            await transaction.rollback()
