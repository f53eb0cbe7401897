"""Accounts, their numbers, and users: made by `handsent user add`."""

from typing import Any, NamedTuple
from uuid import uuid4

import asyncpg
from kernel.database import Connection, Pool, Row, acting_for
from kernel.tokens import Role, User

from send_intake import store_tokens
from send_intake.store import access, q

ACTOR = "handsent"  # the command, in events


class SubjectTaken(Exception):
    """The identity at the issuer is linked to another user."""


class Added(NamedTuple):
    """A user as they are now; the role they had, if it was another, and how many tokens and sessions that has ended."""

    user: User
    former: Role | None
    ended: int


async def add_user(
    connection: asyncpg.Connection, account: str, name: str, role: Role, oidc_subject: str | None = None
) -> Added:
    """The user of that name, made if need be (so is the account); an existing user gets the role, and may sign in.

    Another role than before ends what was made under that. In a transaction of the caller's, the user's row stays
    locked: what is made there next is of this role. Raises SubjectTaken.
    """
    async with connection.transaction():
        await connection.execute(q.add_account, str(uuid4()), account)
        found = await connection.fetchrow(q.account, account)
        assert found is not None, "it was made a line above"
        await connection.execute(q.claim_senders, [found["sender"]], found["account_id"])
        await connection.execute(q.add_user, str(uuid4()), found["account_id"], name, role)
        before = await connection.fetchrow(access.lock_user, found["account_id"], name)
        assert before is not None, "made a line above, and nobody is ever removed"
        user_id, former = before["user_id"], None if before["role"] == role else Role(before["role"])
        ended = 0 if former is None else await _change_role(connection, user_id, role)
        await connection.execute(access.admit_user, user_id)
        if oidc_subject is not None:
            await _link(connection, user_id, oidc_subject)
    return Added(User(found["account_id"], user_id, role, name), former, ended)


async def _change_role(connection: asyncpg.Connection, user_id: str, role: Role) -> int:
    """How many tokens it ended: all there are, for each has the former role signed into it."""
    await connection.execute(access.change_role, user_id, role)
    return len(await store_tokens.end(connection, await store_tokens.of_user(connection, user_id), ACTOR))


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
