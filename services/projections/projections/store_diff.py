"""Two schemas of read models, row by row in key order: a checksum of each table, and the rows that are not the same."""

import hashlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import orjson
from kernel.database import Connection, load_queries
from kernel.verdict import Difference

from projections.comparison import Column, Common, Compared, difference
from projections.store_run import LIVE, LONG_S, RUN

q = load_queries("projections", "diff.sql")

# The kernel's tables, in every service's schema: no read models.
OF_KERNEL = ("offsets", "topic_ids", "outbox", "produced", "stopped", "set_aside", "migrations")
# A reason nobody failed for any more: whether it was ever counted depends on what was folded together.
WHERE = {"failed_by_reason": " WHERE n <> 0"}
SHOWN = 20
AT_ONCE = 5000

Key = tuple[str, ...]
End: Key = ("\U0010ffff",)  # behind every key there is


async def columns(connection: Connection, schema: str) -> list[Column]:
    return [Column(*row) for row in await connection.fetch(q.columns, schema)]


class _Side:
    """The rows of one side, one at a time, and what they add up to."""

    def __init__(self, connection: Connection, schema: str, table: Common) -> None:
        self._rows = _rows(connection, schema, table)
        self._sum = hashlib.sha256()
        self.count = 0
        self.key: Key = ()
        self.said = ""

    async def advance(self) -> None:
        row = await anext(self._rows, None)
        if row is None:
            self.key, self.said = End, ""
            return
        self.key, self.said = row
        self.count += 1
        self._sum.update(self.said.encode())
        self._sum.update("\0".join(self.key).encode())

    @property
    def checksum(self) -> str:
        return self._sum.hexdigest()


async def compare(live: Connection, run: Connection, table: Common) -> Compared:
    """Both connections are in a transaction that sees one moment."""
    ours, theirs = _Side(live, LIVE, table), _Side(run, RUN, table)
    await ours.advance()
    await theirs.advance()
    differing: list[Key] = []
    count = 0
    while ours.key != End or theirs.key != End:
        first = min(ours.key, theirs.key)
        both = ours.key == theirs.key
        if not both or ours.said != theirs.said:
            count += 1
            if len(differing) < SHOWN:
                differing.append(first)
        on_ours, on_theirs = ours.key == first, theirs.key == first
        if on_ours:
            await ours.advance()
        if on_theirs:
            await theirs.advance()
    shown = await _differences(live, run, table, differing)
    return Compared(table.name, ours.count, theirs.count, ours.checksum, theirs.checksum, count, shown)


async def _rows(connection: Connection, schema: str, table: Common) -> AsyncIterator[tuple[Key, str]]:
    statement = q.rows.format(
        schema=schema,
        table=table.name,
        texts=", ".join(f'"{column}"::text' for column in table.key),
        columns=", ".join(f'"{column}"' for column in table.columns),
        where=WHERE.get(table.name, ""),
        # As Python orders texts; that of a uuid is ordered as the uuid is, which its index knows.
        order=", ".join(f'"{c}"' if type_ == "uuid" else f'"{c}"::text COLLATE "C"' for c, type_ in table.key.items()),
    )
    cursor = await connection.cursor(statement, timeout=LONG_S)
    while rows := await cursor.fetch(AT_ONCE, timeout=LONG_S):
        for key, said in rows:
            yield tuple(key), said


async def _differences(live: Connection, run: Connection, table: Common, keys: Sequence[Key]) -> list[Difference]:
    ours, theirs = await _said(live, LIVE, table, keys), await _said(run, RUN, table, keys)
    return [difference(dict(zip(table.key, key, strict=True)), ours.get(key), theirs.get(key)) for key in keys]


async def _said(connection: Connection, schema: str, table: Common, keys: Sequence[Key]) -> dict[Key, Any]:
    if not keys:
        return {}
    names = [f"k{n}" for n in range(len(table.key))]
    statement = q.said.format(
        schema=schema,
        table=table.name,
        texts=", ".join(f't."{column}"::text' for column in table.key),
        arrays=", ".join(f"${n}::text[]::{type_}[]" for n, type_ in enumerate(table.key.values(), 2)),
        names=", ".join(names),
        same=" AND ".join(f't."{column}" = k.{name}' for column, name in zip(table.key, names, strict=True)),
    )
    rows = await connection.fetch(statement, table.columns, *(list(column) for column in zip(*keys, strict=True)))
    return {tuple(key): orjson.loads(said) for key, said in rows}
