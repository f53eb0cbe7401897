"""Passwords, held against argon2id hashes; the same work whether there is a hash or not."""

import asyncio
import secrets
import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

AT_ONCE = 2  # 46 MiB each; more would take memory and cores from SENDs
MOST_WAITING = 40
LEAST, MOST = 12, 1024  # characters


class TooBusy(Exception):
    """So many are signing in at this moment that one more would wait too long."""


class Passwords:
    """Checks passwords in threads, few at a time."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher(time_cost=2, memory_cost=47_104, parallelism=1)
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0
        # Nobody knows its password: it is there to be compared with when a name has none.
        self._nobodys = self.hash(secrets.token_urlsafe())

    def hash(self, password: str) -> str:
        """What is stored of a password: argon2id with its parameters and salt."""
        return self._hasher.hash(_normal(password))

    async def is_right(self, password: str, stored: str | None) -> bool:
        """Whether it is the password; without one stored the answer is no, after the same work. Raises TooBusy."""
        if self._waiting >= MOST_WAITING:
            raise TooBusy
        self._waiting += 1
        try:
            async with self._turn:
                right = await asyncio.to_thread(self._matches, stored or self._nobodys, password)
        finally:
            self._waiting -= 1
        return right and stored is not None

    def _matches(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, _normal(password))
        except (VerificationError, InvalidHashError):
            return False


def _normal(password: str) -> bytes:
    """The same letters, however the keyboard composed them. A half of a surrogate pair is no reason to break."""
    return unicodedata.normalize("NFKC", password).encode("utf-8", "replace")
