"""Signing in and out: by password, by token, by an identity at the issuer; each leads to a session of twelve hours."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import structlog
from kernel.database import Pool
from kernel.revocations import Revocations
from kernel.tokens import BadToken, Claims, User, admit
from kernel.web import is_uuid

from send_intake import store_tokens, store_users
from send_intake.app_passwords import Passwords, TooBusy
from send_intake.gateway_oidc import BadIdentity, OidcIssuer
from send_intake.store_tokens import Kind, Made, NotAllowed
from send_intake.store_tries import Tries

log = structlog.get_logger()

SESSION = timedelta(hours=12)
BUSY_WAIT = timedelta(seconds=5)


class Refused(NamedTuple):
    """Not signed in. Why is for nobody outside to know; `retry_after` is set when tries come too fast."""

    retry_after: timedelta | None = None


@dataclass(frozen=True)
class Access:
    """What the sign-in page and the API have in common."""

    pool: Pool
    token_key: str
    revocations: Revocations
    wake_relay: asyncio.Event
    passwords: Passwords
    tries: Tries
    issuer: OidcIssuer | None

    async def by_password(self, account: str, name: str, password: str, address: str) -> Made | Refused:
        """The same work, and the same answer, whether there is no such account, no such name, or another password."""
        wait = await self.tries.spend(account, name, address)
        if wait is not None:
            return Refused(wait)
        user, stored = await store_users.with_password(self.pool, account, name)
        try:
            right = await self.passwords.is_right(password, stored)
        except TooBusy:
            return Refused(BUSY_WAIT)
        if not right or user is None:
            log.info("sign_in_refused", by="password")
            return Refused()
        await self.tries.forgive(account, name, address)
        return await self._session(user, "password")

    async def by_identity(self, subject: str) -> Made | Refused:
        """For an identity that the issuer vouches for and that somebody linked to a user."""
        user = await store_users.by_subject(self.pool, subject)
        if user is None:
            log.info("sign_in_refused", by="issuer")
            return Refused()
        return await self._session(user, "issuer")

    async def by_issuers_token(self, token: str) -> Made | Refused:
        """A service's way. Raises IssuerAway."""
        if self.issuer is None:
            return Refused()
        try:
            return await self.by_identity(await self.issuer.subject_of(token))
        except BadIdentity as error:
            log.info("sign_in_refused", by="issuer", reason=str(error))
            return Refused()

    async def by_token(self, token: str) -> Made | Refused:
        """A session of the token's own user: signing out does not end the token, ending the token ends the session."""
        try:
            claims = admit(self.token_key, token, self.revocations)
        except BadToken:
            return Refused()
        return await self._session(claims.user, "token", claims) if is_uuid(claims.token_id) else Refused()

    async def _session(self, user: User, by: str, given: Claims | None = None) -> Made | Refused:
        made_with, until = (given.token_id, _time(given)) if given else (None, None)
        try:
            made = await store_tokens.make(
                self.pool, self.token_key, user, Kind.SESSION, f"signed in by {by}", SESSION, made_with, until
            )
        except NotAllowed:
            return Refused()
        log.info("signed_in", by=by, user_id=user.user_id, token_id=made.token_id)
        return made

    async def new_token(self, caller: Claims, name: str, life: timedelta) -> Made:
        """A token for the caller. One that was made with a token, also by way of a session, ends with it, and no later.

        Raises NotAllowed.
        """
        if not is_uuid(caller.token_id):  # none that we made
            raise NotAllowed(caller.user.user_id)
        made_with, until = await store_tokens.origin(self.pool, caller.token_id, _time(caller))
        return await store_tokens.make(self.pool, self.token_key, caller.user, Kind.TOKEN, name, life, made_with, until)

    async def end(self, token_ids: Iterable[str], actor: str) -> bool:
        """Ends tokens: here at once, elsewhere as the log says it. Whether the log has it within a few seconds."""
        async with self.pool.acquire() as connection, connection.transaction():
            ended = await store_tokens.end(connection, token_ids, actor)
        for event in ended:
            self.revocations.add(event.token_id, event.expires_at.timestamp())
            log.info("token_ended", token_id=event.token_id, by=actor)
        self.wake_relay.set()
        return await store_tokens.in_the_log(self.pool)


def _time(claims: Claims) -> datetime:
    return datetime.fromtimestamp(claims.expires_at, UTC)
