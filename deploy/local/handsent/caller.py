"""The services' APIs, called for an operator as a manager of one account."""

import asyncio
import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import click
from dispatcher.phone import BadPhone, read
from kernel.tokens import Role, verify

from handsent.stack import Stack, current_stack
from handsent.user import token_for
from schemas.identity import person_id

USER = "handsent"
TOKEN_LIFE = timedelta(minutes=5)  # it is looked at when the request comes, however long the list
PATIENCE_S = 3600.0  # a list is answered when all of it is in force


class NotFound(click.ClickException):
    """The account has no such thing."""


@dataclass(frozen=True)
class Caller:
    """A manager of one account."""

    stack: Stack
    account: str
    token: str

    def ask(self, service: str, method: str, path: str, body: Any = None, kind: str = "application/json") -> Any:
        """The answer of `service`, as in DISPATCHER_URL, to read from. Raises NotFound, and ClickException with the
        service's own words when it says no."""
        request = urllib.request.Request(
            f"{self.stack.setting(f'{service.upper()}_URL')}/api/v1{path}",
            data=json.dumps(body).encode() if isinstance(body, dict) else body,
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": kind},
            method=method,
        )
        try:
            return urllib.request.urlopen(request, timeout=PATIENCE_S)
        except urllib.error.HTTPError as error:
            words = _words(service, error)
            raise NotFound(words) if error.code == 404 else click.ClickException(words) from None
        except OSError as error:
            raise click.ClickException(f"the {service} service does not answer: {error}") from None

    def person(self, named: str) -> str:
        """The id of a person, who may be named by it or by phone. A phone never becomes part of a URL."""
        try:
            return str(UUID(named))
        except ValueError:
            pass
        try:
            number = read(named, self.stack.settings.get("DEFAULT_REGION", "US"))
        except BadPhone as error:
            raise click.BadParameter(str(error)) from None
        account_id = verify(self.stack.setting("TOKEN_KEY"), self.token).account_id
        return person_id(self.stack.setting("PERSON_ID_SECRET"), account_id, number)


def _words(service: str, error: urllib.error.HTTPError) -> str:
    try:
        return str(json.load(error)["detail"])
    except (ValueError, KeyError, TypeError):
        return f"the {service} service answers {error.code}"


account_option = click.option("--account", default="demo", show_default=True)


def caller_for(account: str) -> Caller:
    """Raises ClickException when there is no such account, or no database."""
    stack = current_stack()
    url, key = stack.database_url, stack.setting("TOKEN_KEY")
    try:
        token = asyncio.run(token_for(url, key, account, USER, Role.MANAGER, known=True, life=TOKEN_LIFE))
    except (OSError, asyncpg.PostgresError) as error:
        raise click.ClickException(f"the database does not answer: {error}") from None
    return Caller(stack, account, token)
