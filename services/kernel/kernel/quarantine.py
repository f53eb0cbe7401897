"""Events a partition stands still at: recorded, then retried or set aside by an operator, never skipped silently."""

from typing import Any

from kernel.database import Connection, Pool
from kernel.offsets import Position


async def record(pool: Pool, position: Position, offset: int, error: str) -> None:
    """Says that the partition stands still at this event; nothing if it went past it in other hands."""
    await pool.execute(
        """INSERT INTO stopped (topic, partition, event_offset, error)
           SELECT topic, partition, $3, $4 FROM offsets WHERE topic = $1 AND partition = $2 AND next_offset = $3
           ON CONFLICT (topic, partition) DO UPDATE SET event_offset = $3, error = $4""",
        *position,
        offset,
        error,
    )


async def passed_over(source: Pool | Connection) -> set[tuple[Position, int]]:
    """The events operators have decided to pass over."""
    rows = await source.fetch("SELECT topic, partition, event_offset FROM set_aside")
    return {((row["topic"], row["partition"]), row["event_offset"]) for row in rows}


async def standing(source: Pool | Connection) -> set[Position]:
    """The partitions that stand still."""
    rows = await source.fetch("SELECT topic, partition FROM stopped")
    return {(row["topic"], row["partition"]) for row in rows}


async def forget(pool: Pool, position: Position, next_offset: int) -> None:
    """The partition has passed the event it once stood still at (a new release could read it)."""
    await pool.execute(
        "DELETE FROM stopped WHERE topic = $1 AND partition = $2 AND event_offset < $3", *position, next_offset
    )


async def listed(source: Pool | Connection) -> list[dict[str, Any]]:
    """Every partition that stands still, for status and the operator."""
    rows = await source.fetch("SELECT topic, partition, event_offset, error, since FROM stopped ORDER BY 1, 2")
    return [dict(row) for row in rows]


async def retry(connection: Connection, position: Position) -> bool:
    """Lets the partition try its event again; False when it does not stand still."""
    status = await connection.execute("DELETE FROM stopped WHERE topic = $1 AND partition = $2", *position)
    return status == "DELETE 1"


async def set_aside(connection: Connection, position: Position, reason: str, decided_by: str) -> int | None:
    """Passes over the event the partition stands still at, for a recorded reason; its offset, or None."""
    offset: int | None = await connection.fetchval(
        """WITH s AS (DELETE FROM stopped WHERE topic = $1 AND partition = $2 RETURNING *)
           INSERT INTO set_aside (topic, partition, event_offset, reason, decided_by)
           SELECT topic, partition, event_offset, $3, $4 FROM s RETURNING event_offset""",
        *position,
        reason,
        decided_by,
    )
    return offset
