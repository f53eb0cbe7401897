"""One worker of a run: folds its share of the partitions in memory, and commits rows and offsets in large steps.

A process of its own (`python -m projections.app_bulk`): it is told its share in one line of JSON, tells how far
it is in lines of JSON, and ends with whoever started it. What is irregular in the log it leaves to the ordinary fold.
"""

import gc
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import asyncpg
import orjson
import uvloop
from kernel import offsets
from kernel.database import Pool
from kernel.offsets import Move, Position

from projections import store, store_run
from projections.app_span import Reader, reader
from projections.changes import changes
from projections.pile import OF_RECIPIENTS, Irregular, Pile
from projections.progress import RecipientEvent
from projections.store import Stored
from projections.store_run import MovedElsewhere
from schemas.codec import UndecodableEvent, decode

# The ordinary fold knows what to do about these: stop a partition at the event, or take the rows in turns.
_LEFT = (UndecodableEvent, Irregular, asyncpg.DataError, asyncpg.SerializationError, MovedElsewhere)
FETCHED = 4000
# Some 2.5 KB a row in memory. What a kill takes back is so much work, some seconds of it.
MOST_ROWS = 100_000
MOST_EVENTS = 1_000_000
SAMPLE = "pg_temp"


@dataclass(frozen=True)
class Share:
    """What a worker folds: from these offsets up to those, without these events."""

    url: str
    bootstrap: str
    schema: str
    spans: list[tuple[str, int, int, int]]  # topic, partition, from, until
    aside: list[tuple[str, int, int]]

    @property
    def starts(self) -> dict[Position, int]:
        return {(topic, partition): start for topic, partition, start, _ in self.spans}

    @property
    def until(self) -> dict[Position, int]:
        return {(topic, partition): end for topic, partition, _, end in self.spans}


class _Worker:
    def __init__(self, share: Share, pool: Pool, log: Reader, say: Callable[[int], None]) -> None:
        self._share, self._pool, self._log, self._say = share, pool, log, say
        self._aside = {(topic, partition, offset) for topic, partition, offset in share.aside}
        self._committed = share.starts
        self._fresh = not any(share.starts.values())  # then no row of ours can be there yet
        self._pile, self._events = Pile(), 0

    async def run(self) -> None:
        while records := await self._log.oldest(self._share.until, FETCHED):
            for position, batch in records.items():
                await self._take(position, batch)
            if len(self._pile) >= MOST_ROWS or self._events >= MOST_EVENTS:
                await self._commit()
        await self._commit()

    async def _take(self, position: Position, batch: list[Any]) -> None:
        topic, partition = position
        if self._aside:
            batch = [record for record in batch if (topic, partition, record.offset) not in self._aside]
        events = [cast(RecipientEvent, decode(record.value)) for record in batch]
        pile = self._pile
        if not self._fresh and (lacks := pile.lacks(e.recipient_id for e in events if type(e) in OF_RECIPIENTS)):
            for id_, known in (await store_run.recall(self._pool, lacks)).items():
                pile.put(id_, known)
        for event, record in zip(events, batch, strict=True):
            pile.add(event, topic, partition, record.offset)
        self._events += len(events)
        self._say(len(events))

    async def _commit(self) -> None:
        read = self._log.next
        moves = [Move(*p, start, read[p]) for p, start in self._committed.items() if read[p] > start]
        if not moves:
            return
        found = self._pile.changes()
        async with self._pool.acquire() as connection, connection.transaction():
            if not await offsets.advance(connection, moves):
                raise MovedElsewhere("the offsets were moved by somebody else")
            await store.begin_batch(connection)
            await store.insert_recipients(connection, [Stored(*c.after) for c in found if c.before is None])
            await store_run.rewrite(connection, [(Stored(*c.before), Stored(*c.after)) for c in found if c.before])
            if found:
                await store.change_figures(connection, changes(change.move for change in found))
            await store.name_columns(connection, self._pile.lists)
        self._committed |= {move[:2]: move.next_offset for move in moves}
        self._pile, self._events, self._fresh = Pile(), 0, False
        gc.collect()


async def fold(share: Share, say: Callable[[int], None]) -> str:
    """Folds a share; answers why it stopped before its end, or nothing. All that was committed stays."""
    pool = await store_run.open_pool(share.url, share.schema)
    try:
        if share.schema == SAMPLE:
            await store_run.make_sample(pool)
        async with reader(share.bootstrap, share.starts) as log:
            await _Worker(share, pool, log, say).run()
    except _LEFT as error:
        return f"{type(error).__name__}: {error}"
    finally:
        await pool.close()
    return ""


def _tell(**said: Any) -> None:
    sys.stdout.buffer.write(orjson.dumps(said) + b"\n")
    sys.stdout.buffer.flush()


def _end_with_the_parent() -> None:
    sys.stdin.buffer.read()  # until whoever started us is gone
    os._exit(1)


def main() -> None:
    share = Share(**orjson.loads(sys.stdin.buffer.readline()))
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    gc.disable()  # what is piled up has no cycles, and walking it took a quarter of the time
    why = uvloop.run(fold(share, lambda events: _tell(events=events)))
    _tell(ended=why)
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
