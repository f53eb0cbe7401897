"""Two processes fold the same log: offsets by compare-and-set, rows locked in id order, figures exact."""

import asyncio
import random
import uuid
from dataclasses import dataclass
from typing import Any

import pytest
from kernel import offsets
from kernel.batch import BatchLoop
from kernel.database import Pool
from projections.app import TOPICS, handle
from projections.store import drifted

from schemas.codec import encode
from schemas.topics import TOPIC_OF
from tests.unit.projections.life import Life

LIVES = [Life(number=f"+1202555{n:04d}", position=n) for n in range(300)]


@dataclass
class Record:
    offset: int
    value: bytes


def topics_of(lives: list[Life]) -> dict[tuple[str, int], list[Record]]:
    """Everything about these people, by topic, in one partition each."""
    found: dict[tuple[str, int], list[Record]] = {}
    for life in lives:
        for event in (life.added(), life.processed(), life.released(), life.attempted(), life.accepted(),
                      life.not_delivered(), life.opted_out()):  # fmt: skip
            records = found.setdefault((TOPIC_OF[type(event)].name, 0), [])
            records.append(Record(len(records), encode(event)))
    return found


async def bound(pool: Pool) -> None:
    await offsets.bind(pool, {topic: str(uuid.uuid4()) for topic in TOPICS}, dict.fromkeys(TOPICS, 1))


async def fold_all(pool: Pool, records: dict[tuple[str, int], list[Record]], chance: random.Random) -> None:
    """Applies the records in batches of any size, partition by partition or together, until all are read."""
    loop = BatchLoop(pool, handle, asyncio.Event())
    at = dict.fromkeys(records, 0)
    while any(at[p] < len(records[p]) for p in records):
        chosen = chance.sample(sorted(records), chance.randrange(1, len(records) + 1))
        batch = {p: records[p][at[p] : at[p] + chance.randrange(1, 90)] for p in chosen}
        applied = await loop.apply(batch)
        at |= {p: at[p] + len(batch[p]) for p in chosen} | applied.seek


async def exported(pool: Pool) -> list[Any]:
    tables = ("recipients ORDER BY recipient_id", "campaigns ORDER BY campaign_id", "list_columns ORDER BY name",
              "failed_by_reason ORDER BY reason", "opt_outs ORDER BY event_id",
              "erasures ORDER BY event_id", "minutes ORDER BY minute", "senders ORDER BY campaign_id",
              "offsets ORDER BY topic")  # fmt: skip
    return [[tuple(row) for row in await pool.fetch(f"SELECT * FROM {table}")] for table in tables]


@pytest.mark.parametrize("seed", range(3))
async def test_both_read_everything_and_the_tables_are_those_of_one(read_models: Pool, seed: int) -> None:
    pool, records = read_models, topics_of(LIVES)
    await bound(pool)
    async with asyncio.timeout(20):
        await asyncio.gather(*(fold_all(pool, records, random.Random(f"{seed}{n}")) for n in range(2)))
    together = await exported(pool)
    assert not await drifted(pool)
    await pool.execute(
        "TRUNCATE recipients, campaigns, list_columns, failed_by_reason, opt_outs, erasures, minutes, senders"
    )
    await pool.execute("UPDATE offsets SET next_offset = 0")
    await fold_all(pool, records, random.Random(seed))
    assert await exported(pool) == together


async def test_each_reads_other_topics_of_the_same_people(read_models: Pool) -> None:
    pool, records = read_models, topics_of(LIVES)
    await bound(pool)
    shares = [{p: r for p, r in records.items() if (p[0] in ("recipients", "dispatches")) == first}
              for first in (True, False)]  # fmt: skip
    async with asyncio.timeout(20):
        await asyncio.gather(*(fold_all(pool, share, random.Random(5)) for share in shares))
    assert not await drifted(pool)
    states = await pool.fetch("SELECT state, count(*) AS n FROM recipients GROUP BY state")
    assert [tuple(row) for row in states] == [("failed", 300)]


async def test_a_recipient_of_two_campaigns_stops_the_partition(read_models: Pool) -> None:
    pool, life = read_models, LIVES[0]
    await bound(pool)
    stray = encode(life.delivered()).replace(life.campaign_id.encode(), str(uuid.uuid4()).encode())
    records = {("recipients", 0): [Record(0, encode(life.added()))], ("receipts", 0): [Record(0, stray)]}
    loop = BatchLoop(pool, handle, asyncio.Event())
    await loop.apply({("recipients", 0): records["recipients", 0]})
    await loop.apply({("receipts", 0): records["receipts", 0]})
    assert loop.stopped == {("receipts", 0): 0}
    assert await pool.fetchval("SELECT state FROM recipients") == "unprocessed"
