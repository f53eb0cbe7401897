"""Rows of an account in every walled table of a service, made from the catalogue; and checks to take out on purpose."""

import re
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid5

import pytest
from kernel.database import Connection, Pool, Queries

# What a column may say, where not everything will do.
SAID = {"role": "sender", "state": "waiting", "source": "manual", "kind": "token"}
VALUES = {
    "timestamp with time zone": "2026-03-01T12:00Z", "date": "2026-03-01", "bigint": "1", "integer": "1",
    "boolean": "true", "bytea": "", "jsonb": "{}",
}  # fmt: skip
TABLES = """
SELECT c.relname AS name, c.relkind = 'v' AS is_view, c.relrowsecurity AS walled,
       coalesce(obj_description(c.oid, 'pg_class'), '') AS comment, coalesce(c.reloptions::text, '') AS options,
       (SELECT array_agg(p.polname::text) FROM pg_policy p WHERE p.polrelid = c.oid) AS policies,
       ARRAY(SELECT r FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE']) r
              WHERE has_any_column_privilege(current_schema() || '_api', c.oid, r)) ||
       ARRAY(SELECT r FROM unnest(ARRAY['DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) r
              WHERE has_table_privilege(current_schema() || '_api', c.oid, r)) AS rights,
       ARRAY(SELECT a.attname::text FROM pg_attribute a
              WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                AND has_column_privilege(current_schema() || '_api', c.oid, a.attnum, 'SELECT')) AS readable
  FROM pg_class c
 WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm')
 ORDER BY c.oid  -- as they were made: referred-to ones first
"""


@dataclass(frozen=True)
class Table:
    """A table or view, and what the API's role may do with it."""

    name: str
    is_view: bool
    walled: bool
    comment: str
    options: str
    policies: list[str] | None
    rights: list[str]
    readable: list[str]


async def tables(source: Pool | Connection) -> list[Table]:
    """All of the service, referred-to ones first."""
    return [Table(**dict(row)) for row in await source.fetch(TABLES)]


async def walled(source: Pool | Connection) -> list[Table]:
    return [table for table in await tables(source) if table.walled]


async def fill(owner: Pool | Connection, account_id: str) -> None:
    """One row of the account in each walled table."""
    for table in await walled(owner):
        await insert(owner, table.name, account_id)


async def insert(source: Pool | Connection, table: str, account_id: str) -> None:
    """The account's row of this table."""
    columns = await source.fetch(
        """SELECT a.attname AS name, format_type(a.atttypid, NULL) AS type FROM pg_attribute a
            WHERE a.attrelid = $1::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attidentity = ''
              AND (a.attnotnull AND NOT a.atthasdef OR a.attname IN ('account_id', 'recipient_id'))
            ORDER BY a.attnum""",
        table,
    )
    names = ", ".join(column["name"] for column in columns)
    values = ", ".join(f"CAST(${n}::text AS {column['type']})" for n, column in enumerate(columns, 1))
    cells = [_cell(column["name"], column["type"], account_id) for column in columns]
    await source.execute(f"INSERT INTO {table} ({names}) VALUES ({values})", *cells)


def _cell(column: str, kind: str, account_id: str) -> str:
    if column == "account_id":
        return account_id
    if kind == "uuid":
        return id_of(account_id, column)
    return VALUES.get(kind) or (SAID.get(column, f"{column} of {account_id}") if kind == "text" else "")


def id_of(account_id: str, column: str) -> str:
    """The account's one recipient, campaign, person …, the same in every table."""
    return str(uuid5(UUID(account_id), column))


def take_out_the_account_filter(patch: pytest.MonkeyPatch, queries: Queries) -> set[str]:
    """Breaks the application's own check on purpose, in every statement of the service; the names of those broken."""
    broken: dict[str, str] = {}
    statements: dict[str, Any] = queries._statements
    for name, statement in statements.items():
        without = re.sub(r"(?:\w+\.)?account_id = (\$\d+)", r"\1::uuid IS NOT NULL", statement)
        if without != statement:
            broken[name] = without
    patch.setattr(queries, "_statements", {**statements, **broken})
    return set(broken)


async def take_down_the_walls(owner: Pool | Connection) -> None:
    """Breaks the second wall as well: what the first was for shows."""
    for table in await walled(owner):
        await owner.execute(f"ALTER TABLE {table.name} DISABLE ROW LEVEL SECURITY")
