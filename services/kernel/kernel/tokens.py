"""Bearer tokens: signed, so that every service verifies one by itself."""

from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

import jwt

ALGORITHM = "HS256"
ISSUER = "handsent"


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
    token_id: str = ""


class BadToken(ValueError):
    """The token is not one of ours; the message never repeats it."""


def issue(key: str, user: User, token_id: str) -> str:
    """A token for the user. A new one does not end older ones."""
    claims = {
        "iss": ISSUER,
        "account": user.account_id,
        "sub": user.user_id,
        "role": str(user.role),
        "name": user.name,
        "jti": token_id,
    }
    return jwt.encode(claims, key, algorithm=ALGORITHM)


@lru_cache(maxsize=4096)
def verify(key: str, token: str) -> User:
    """The user of a token. Raises BadToken. Remembered: a page of presses brings the same one."""
    try:
        claims = jwt.decode(token, key, algorithms=[ALGORITHM], issuer=ISSUER, options={"require": ["sub", "jti"]})
        return User(
            str(claims["account"]),
            str(claims["sub"]),
            Role(claims["role"]),
            str(claims.get("name", "")),
            str(claims["jti"]),
        )
    except (jwt.PyJWTError, KeyError, ValueError) as error:
        raise BadToken(type(error).__name__) from None
