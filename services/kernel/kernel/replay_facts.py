"""A fold that notes what events tell, as rows of temporary tables; what follows from them is made of all at the end."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

from kernel import quarantine
from kernel.database import Connection, Pool
from kernel.offsets import Position
from kernel.received import Received
from kernel.replay_log import Records
from schemas.codec import UndecodableEvent, decode

Rows = Iterable[tuple[str, Sequence[Any]]]  # (table, row)
Note = Callable[[Connection, list[Received]], Awaitable[Rows]]


class Facts:
    """Decodes, passes over what an operator has set aside, and adds what `note` makes of the rest to its tables.

    The order in which events of different partitions come means nothing. Within a partition the offset tells it.
    """

    def __init__(self, pool: Pool, make: str, note: Note, finish: Callable[[Connection], Awaitable[None]]) -> None:
        """`make` creates the temporary tables; `finish` makes the derived ones of them."""
        self._pool, self._make, self._note, self._finish = pool, make, note, finish
        self._passed_over: set[tuple[Position, int]] = set()
        self.stopped: dict[Position, int] = {}

    async def begin(self, connection: Connection) -> None:
        await connection.execute(self._make)
        self._passed_over = await quarantine.passed_over(connection)

    async def apply(self, records: Records) -> None:
        events = [event for position in records for event in self._decoded(position, records)]
        async with self._pool.acquire() as connection:
            rows: dict[str, list[Sequence[Any]]] = {}
            for table, row in await self._note(connection, events):
                rows.setdefault(table, []).append(row)
            for table, found in rows.items():
                await connection.copy_records_to_table(table, records=found)

    async def finish(self, connection: Connection) -> None:
        await self._finish(connection)

    def _decoded(self, position: Position, records: Records) -> list[Received]:
        events: list[Received] = []
        for record in records[position] if position not in self.stopped else ():
            if (position, record.offset) in self._passed_over:
                continue
            try:
                events.append(Received(decode(record.value), *position, record.offset))
            except UndecodableEvent:
                self.stopped[position] = record.offset
                break
        return events


def by_type(rows: Mapping[type, Callable[[Any], tuple[str, Sequence[Any]]]], events: Iterable[Received]) -> Rows:
    """The rows of the events whose type has any; the last column is the place among its subject's events."""
    for received in events:
        row = rows.get(type(received.event))
        if row is not None:
            table, columns = row(received.event)
            yield table, (*columns, received.offset)
