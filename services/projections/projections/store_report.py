"""The recipient report as it is read from Postgres: all of it as of one moment."""

from asyncio import create_task, gather, get_running_loop, sleep
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from kernel.database import Connection
from kernel.seal import Key
from kernel.vault import Vault

from projections import people
from projections.people import Person
from projections.report import Line, own_columns
from projections.store import q

TIMEOUT_S = 900.0
ROWS = 1000  # read at a time
OPENED = 100  # opened at a time: some 2 ms in which nobody else is answered


class Moment(NamedTuple):
    """When it was, and the next offset of every partition then, as JSON."""

    at: datetime
    offsets: str


class Paper(Protocol):
    """What a report is written on."""

    def header(self) -> None: ...
    def add(self, line: Line, person: Person) -> None: ...
    def finish(self) -> None: ...
    def taken(self) -> bytes: ...


@asynccontextmanager
async def one_moment(connection: Connection) -> AsyncIterator[Moment]:
    """Everything that is read meanwhile is as of the moment."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.execute(
            f"SET LOCAL idle_in_transaction_session_timeout = '{TIMEOUT_S:.0f}s'; SET LOCAL jit = off"
        )
        [(at, offsets)] = await connection.fetch(q.moment)
        yield Moment(at, offsets)


async def report(
    connection: Connection, vault: Vault, campaign_id: UUID, paper: Callable[[list[str]], Paper]
) -> AsyncIterator[bytes]:
    """The whole report in pieces, header first, on a paper made for the list's own columns.

    While a page is opened, Postgres looks for the next one. The snapshot it holds keeps Postgres from tidying up, so it
    may not take for ever. Raises TimeoutError.
    """
    deadline = get_running_loop().time() + TIMEOUT_S
    sheet = paper(own_columns(row[0] for row in await connection.fetch(q.columns_of, campaign_id)))
    sheet.header()
    cursor = await connection.cursor(q.report, campaign_id)
    page = create_task(_page(cursor, vault))
    try:
        while (read := await page).rows:
            if get_running_loop().time() > deadline:
                raise TimeoutError("the report takes too long")
            page = create_task(_page(cursor, vault))
            for first in range(0, len(read.rows), OPENED):
                await sleep(0)
                _add(sheet, read.rows[first : first + OPENED], read.keys)
            yield sheet.taken()
    finally:
        page.cancel()
        await gather(page, return_exceptions=True)
    sheet.finish()
    yield sheet.taken()


class _Page(NamedTuple):
    """Rows, and the keys that open them."""

    rows: list[Any]
    keys: dict[str, Key]


async def _page(cursor: Any, vault: Vault) -> _Page:
    rows = await cursor.fetch(ROWS)
    return _Page(rows, await vault.keys(row[1] for row in rows))


def _add(sheet: Paper, rows: Iterable[Any], keys: Mapping[str, Key]) -> None:
    for row in rows:
        recipient_id, person_id, phone, columns, cells, *said = row
        sheet.add(Line(recipient_id, *said), people.person(keys.get(person_id), phone, columns, cells))
