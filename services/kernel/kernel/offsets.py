"""Where each input continues, in Postgres; Kafka's committed offsets are not used."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from kernel.database import Connection, Pool
from kernel.errors import LogLost

Position = tuple[str, int]  # topic, partition


class Move(NamedTuple):
    """A partition's next offset goes from `expected` to `next_offset`, or not at all."""

    topic: str
    partition: int
    expected: int
    next_offset: int


async def read(source: Pool | Connection, positions: Iterable[Position]) -> dict[Position, int]:
    """The next offset of each partition; 0 for one never read."""
    wanted = list(positions)
    rows = await source.fetch(
        "SELECT topic, partition, next_offset FROM offsets WHERE topic = ANY($1)", list({topic for topic, _ in wanted})
    )
    stored = {(row["topic"], row["partition"]): row["next_offset"] for row in rows}
    return {position: stored.get(position, 0) for position in wanted}


async def advance(connection: Connection, moves: Iterable[Move]) -> bool:
    """Compare-and-set of all partitions of a batch; False when any has moved meanwhile (the caller must roll back)."""
    ordered = sorted(moves)
    status = await connection.execute(
        """UPDATE offsets o SET next_offset = m.next_offset
             FROM unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[]) m(topic, partition, expected, next_offset)
            WHERE o.topic = m.topic AND o.partition = m.partition AND o.next_offset = m.expected""",
        *(list(column) for column in zip(*ordered, strict=True)),
    )
    return status == f"UPDATE {len(ordered)}"


async def bind(pool: Pool, topic_ids: Mapping[str, str], partitions: Mapping[str, int]) -> None:
    """Ties the offsets to these topics and makes the missing rows.

    Raises LogLost when a name now means another topic: its offsets would skip or repeat what is in it.
    """
    async with pool.acquire() as connection, connection.transaction():
        for topic, topic_id in sorted(topic_ids.items()):
            await connection.execute("INSERT INTO topic_ids VALUES ($1, $2) ON CONFLICT DO NOTHING", topic, topic_id)
            bound = await connection.fetchval("SELECT topic_id::text FROM topic_ids WHERE topic = $1", topic)
            if bound != topic_id:
                raise LogLost(f"topic {topic} was made anew: the offsets belong to {bound}, the broker has {topic_id}")
            await connection.execute(
                "INSERT INTO offsets SELECT $1, p, 0 FROM generate_series(0, $2 - 1) p ON CONFLICT DO NOTHING",
                topic,
                partitions[topic],
            )


async def jump(pool: Pool, position: Position, to: int) -> None:
    """Moves past what retention has deleted; only for topics that are not kept for ever."""
    await pool.execute(
        "UPDATE offsets SET next_offset = $3 WHERE topic = $1 AND partition = $2 AND next_offset < $3", *position, to
    )
