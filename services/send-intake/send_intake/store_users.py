"""Accounts, their numbers, and users: made by `handsent user add`."""

from typing import Any
from uuid import uuid4

import asyncpg
from kernel.database import Connection, Pool, Row, acting_for, load_queries
from kernel.tokens import Role, User

from send_intake.store import q

access = load_queries("send_intake", "access.sql")


class SubjectTaken(Exception):
    """The identity at the issuer is linked to another user."""


async def add_user(
    connection: asyncpg.Connection, account: str, name: str, role: Role, oidc_subject: str | None = None
) -> User:
    """The user of that name, made if need be (so is the account); an existing user gets the role, and may sign in.

    Raises SubjectTaken.
    """
    async with connection.transaction():
        await connection.execute(q.add_account, str(uuid4()), account)
        found = await connection.fetchrow(q.account, account)
        assert found is not None, "it was made a line above"
        await connection.execute(q.claim_senders, [found["sender"]], found["account_id"])
        user_id = await connection.fetchval(q.add_user, str(uuid4()), found["account_id"], name, role)
        await connection.execute(access.admit_user, user_id)
        if oidc_subject is not None:
            await _link(connection, user_id, oidc_subject)
    return User(found["account_id"], user_id, role, name)


async def _link(connection: asyncpg.Connection, user_id: str, oidc_subject: str) -> None:
    try:
        await connection.execute(access.link_subject, user_id, oidc_subject)
    except asyncpg.UniqueViolationError:
        raise SubjectTaken(oidc_subject) from None


async def named(source: Pool | Connection, account: str, name: str) -> User | None:
    """The user of that name, who may be disabled."""
    return _user(await source.fetchrow(access.user_named, account, name))


async def by_subject(source: Pool | Connection, oidc_subject: str) -> User | None:
    """The user whose identity at the issuer it is, unless disabled."""
    return _user(await source.fetchrow(access.user_of_subject, oidc_subject))


async def with_password(source: Pool | Connection, account: str, name: str) -> tuple[User | None, str | None]:
    """The user of that name and what their password is held against; neither for who may not sign in so."""
    row = await source.fetchrow(access.credentials, account, name)
    return _user(row), row["password_hash"] if row else None


async def listed(source: Pool | Connection, account: str) -> list[dict[str, Any]]:
    return [dict(row) for row in await source.fetch(access.users_of_account, account)]


async def names(pool: Pool, account_id: str) -> dict[str, str]:
    """The names of an account's users, by id: the log knows only the ids."""
    async with acting_for(pool, account_id) as connection:
        rows = await connection.fetch(access.names_of_account, account_id)
    return {row["user_id"]: row["name"] for row in rows}


async def set_password(source: Pool | Connection, user_id: str, password_hash: str) -> None:
    await source.execute(access.set_password, user_id, password_hash)


async def disable(connection: Connection, user_id: str) -> None:
    """In the caller's transaction, which then ends the user's tokens."""
    await connection.execute(access.disable_user, user_id)


def _user(row: Row | None) -> User | None:
    return None if row is None else User(row["account_id"], row["user_id"], Role(row["role"]), row["name"])
