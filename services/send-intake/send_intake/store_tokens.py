"""Tokens and sessions in Postgres: made, listed, ended. The token itself is in none of them."""

import asyncio
import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import uuid4

from kernel.database import Connection, Pool, Row
from kernel.outbox import Outbox
from kernel.tokens import User, issue

from schemas.events import TokenRevoked
from schemas.identity import event_id
from send_intake.store import access

MOST_LISTED = 500
LOG_PATIENCE_S = 5.0
LOG_POLL_S = 0.02


class Kind(StrEnum):
    TOKEN = "token"
    SESSION = "session"


class Made(NamedTuple):
    """A new token: shown once, kept nowhere."""

    token: str
    token_id: str
    user: User
    kind: Kind
    name: str
    expires_at: datetime


class NotAllowed(Exception):
    """The user may not sign in any more, or has another role now, or the token this was to be made with is ended."""


async def make(
    source: Pool | Connection,
    key: str,
    user: User,
    kind: Kind,
    name: str,
    life: timedelta,
    made_with: str | None = None,
    not_beyond: datetime | None = None,
) -> Made:
    """A token for the user, in the role they have now. It ends with the token it was `made_with`, if that is ended.

    Raises NotAllowed.
    """
    expires_at = datetime.now(UTC).replace(microsecond=0) + life
    expires_at = min(expires_at, not_beyond or expires_at)
    token_id = str(uuid4())
    token = issue(key, user, token_id, expires_at)
    asked = (token_id, user.user_id, user.account_id, kind, name, _hash(token), made_with, expires_at, user.role)
    created_at = await source.fetchval(access.add_token, *asked)
    if created_at is None:
        raise NotAllowed(user.user_id)
    return Made(token, token_id, user, kind, name, expires_at)


async def live(source: Pool | Connection, account_id: str, user_id: str | None) -> list[dict[str, Any]]:
    """The account's tokens that are good now; only the user's, if one is named."""
    return [dict(row) for row in await source.fetch(access.live_tokens, account_id, user_id, MOST_LISTED)]


class Origin(NamedTuple):
    """The token that a new one is made with, and that it may not outlive; None for what a password vouched for."""

    token_id: str | None
    until: datetime | None


async def origin(source: Pool | Connection, token_id: str, expires_at: datetime) -> Origin:
    """What ends that which is made by way of this token or session; a session passes on what it was opened with."""
    row = await source.fetchrow(access.origin_of_token, token_id)
    if row is None or row["kind"] != Kind.SESSION:
        return Origin(token_id, expires_at)
    return Origin(row["made_with"], row["made_with_until"])


async def find(source: Pool | Connection, token_id: str, account_id: str, user_id: str | None) -> Row | None:
    """The account's token, ended or not; only if it is the user's, if one is named."""
    return await source.fetchrow(access.find_token, token_id, account_id, user_id)


async def of_user(connection: Connection, user_id: str, kind: Kind | None = None) -> list[str]:
    """The ids of the user's tokens that are good now."""
    return [row["token_id"] for row in await connection.fetch(access.live_tokens_of_user, user_id, kind)]


async def end(connection: Connection, token_ids: Iterable[str], actor: str) -> list[TokenRevoked]:
    """Ends them, and what was made with those that are tokens, in the caller's transaction; what has been ended now."""
    ids, outbox = sorted(token_ids), Outbox()
    await connection.execute(access.lock_tokens, ids)
    events = [_event(row, actor) for row in await connection.fetch(access.end_tokens, ids)]
    outbox.extend(events)
    await outbox.write(connection)
    return events


async def in_the_log(source: Pool | Connection, patience_s: float = LOG_PATIENCE_S) -> bool:
    """Waits until the revocations committed so far are in Kafka; whether they are."""
    last = await source.fetchval(access.last_revocation)
    deadline = asyncio.get_running_loop().time() + patience_s
    while last is not None and await source.fetchval(access.revocations_wait, last):
        if asyncio.get_running_loop().time() > deadline:
            return False
        await asyncio.sleep(LOG_POLL_S)
    return True


def _event(row: Row, actor: str) -> TokenRevoked:
    return TokenRevoked(
        event_id=event_id(row["token_id"], "TokenRevoked"),
        account_id=row["account_id"],
        occurred_at=row["revoked_at"],
        actor=actor,
        caused_by=None,
        token_id=row["token_id"],
        user_id=row["user_id"],
        expires_at=row["expires_at"],
    )


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
