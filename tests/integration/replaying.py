"""For tests of `replay verify`: a database as a service left it, copied for each test to be tampered with."""

from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
from kernel.replay import Rebuilt, verify
from kernel.verdict import Difference, Verdict

MISSING, MADE_UP = "missing", "made up"


async def execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


def named(url: str, database: str) -> str:
    """The same server's other database."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))


async def copied(url: str) -> str:
    """A copy of the database, which nobody may be connected to."""
    name, original = f"test_{uuid4().hex}", urlsplit(url).path[1:]
    await execute(named(url, "postgres"), f'CREATE DATABASE {name} TEMPLATE "{original}"')
    return named(url, name)


async def found(url: str, bootstrap: str, rebuilt: Rebuilt) -> dict[str, dict[str, list[str]]]:
    """What differs: table -> key -> the columns, or `MISSING`, or `MADE_UP`."""
    return differing(await verify(url, bootstrap, rebuilt))


def differing(verdict: Verdict) -> dict[str, dict[str, list[str]]]:
    assert not verdict.refused and not verdict.drifted
    tables = {t.name: {_key(d): _what(d) for d in t.differences} for t in verdict.tables if t.differing}
    assert verdict.equal is (not tables)
    return tables


def _key(difference: Difference) -> str:
    return " ".join(difference.key.values())


def _what(difference: Difference) -> list[str]:
    if not difference.live:
        return [MISSING]
    return difference.columns if difference.folded else [MADE_UP]
