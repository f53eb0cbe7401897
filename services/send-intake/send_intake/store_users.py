"""Accounts, their numbers, and users: made by `handsent user add`."""

from uuid import uuid4

import asyncpg
from kernel.tokens import Role, User

from send_intake.store import q


async def add_user(connection: asyncpg.Connection, account: str, name: str, role: Role) -> User:
    """The user of that name, made if need be (so is the account); an existing user gets the role."""
    async with connection.transaction():
        await connection.execute(q.add_account, str(uuid4()), account)
        found = await connection.fetchrow(q.account, account)
        assert found is not None, "it was made a line above"
        await connection.fetchval(q.claim_sender, found["sender"], found["account_id"])
        user_id = await connection.fetchval(q.add_user, str(uuid4()), found["account_id"], name, role)
    return User(found["account_id"], user_id, role, name)
