"""Bearer tokens: signed, so that every service verifies one by itself, and short enough to be refused by their id."""

import time
from collections.abc import Container
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

import jwt

ALGORITHM = "HS256"
ISSUER = "handsent"
LIFE = timedelta(days=90)  # unless the maker of a token says otherwise


class Role(StrEnum):
    """What a user may do: `sender` sends, `manager` also creates, imports, ends and opts out, `auditor` reads."""

    SENDER = "sender"
    MANAGER = "manager"
    AUDITOR = "auditor"


class User(NamedTuple):
    """Who is calling."""

    account_id: str
    user_id: str
    role: Role
    name: str


class Claims(NamedTuple):
    """What a token says. `expires_at` is in seconds since 1970."""

    user: User
    token_id: str
    expires_at: int


class BadToken(ValueError):
    """The token is not one of ours, or not any more; the message never repeats it."""


def issue(key: str, user: User, token_id: str, expires_at: datetime | None = None) -> str:
    """A token for the user, good until `expires_at`, by default for 90 days. A new one does not end older ones."""
    now = datetime.now(UTC)
    claims = {
        "iss": ISSUER,
        "account": user.account_id,
        "sub": user.user_id,
        "role": str(user.role),
        "name": user.name,
        "jti": token_id,
        "iat": int(now.timestamp()),
        "exp": int((expires_at or now + LIFE).timestamp()),
    }
    return jwt.encode(claims, key, algorithm=ALGORITHM)


def bearer(authorization: str) -> str:
    """The token in an Authorization header. Raises BadToken when there is none."""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer":
        raise BadToken("no bearer token")
    return token.strip()


def verify(key: str, token: str, revoked: Container[str] = ()) -> User:
    """The user of a token that is good now. Raises BadToken. `revoked`: the ids of tokens ended before their time."""
    return admit(key, token, revoked).user


def admit(key: str, token: str, revoked: Container[str] = ()) -> Claims:
    """All that a token says which is good now. Raises BadToken."""
    claims = _signed(key, token)
    if claims.expires_at <= time.time():
        raise BadToken("expired")
    if claims.token_id in revoked:
        raise BadToken("revoked")
    return claims


@lru_cache(maxsize=4096)
def _signed(key: str, token: str) -> Claims:
    """Remembered, for a page of presses brings the same one: what time changes is asked outside, in half a µs."""
    # Not `iat`: the host that issued a token may be a second ahead of ours.
    options = {"require": ["sub", "jti", "exp"], "verify_exp": False, "verify_iat": False}
    try:
        found = jwt.decode(token, key, algorithms=[ALGORITHM], issuer=ISSUER, options=options)  # type: ignore[arg-type]
        user = User(str(found["account"]), str(found["sub"]), Role(found["role"]), str(found.get("name", "")))
        return Claims(user, str(found["jti"]), int(found["exp"]))
    except (jwt.PyJWTError, KeyError, ValueError, TypeError, OverflowError) as error:
        raise BadToken(type(error).__name__) from None
