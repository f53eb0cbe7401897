"""What `handsent user` and `handsent token` have in common: the stack's database, and words that people understand."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import asyncpg
import click
from kernel import database
from kernel.tokens import User
from send_intake import store_tokens, store_users

SCHEMA = "send_intake"
MAX_NAME = 100
Answer = TypeVar("Answer")


def name_of(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    """A name as it is stored; for click's `callback`."""
    value = value.strip()
    if not value or len(value) > MAX_NAME or not value.isprintable():
        raise click.BadParameter(f"a name has 1 to {MAX_NAME} printable characters")
    return value


account_option = click.option("--account", callback=name_of, default="demo", show_default=True)
days_option = click.option("--days", type=click.IntRange(1, 366), default=90, show_default=True, help="Its life.")


def run(work: Coroutine[Any, Any, Answer]) -> Answer:
    """The work's answer. Raises ClickException, in one line, when the database does not take it."""
    try:
        return asyncio.run(work)
    except (OSError, asyncpg.PostgresError) as error:
        raise click.ClickException(f"the database does not take it: {error}") from None


@asynccontextmanager
async def store(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A session in send-intake's schema, which is made first if no service ever ran."""
    await database.migrate(database_url, SCHEMA, SCHEMA)
    connection = await database.connect(database_url, SCHEMA)
    try:
        yield connection
    finally:
        await connection.close()


async def known(connection: asyncpg.Connection, account: str, name: str) -> User:
    """Raises ClickException when nobody is called so."""
    user = await store_users.named(connection, account, name)
    if user is None:
        raise click.ClickException(f"nobody in the account {account} is called {name}")
    return user


async def end(connection: asyncpg.Connection, token_ids: list[str]) -> int:
    """Ends tokens, and waits until the log says so to every service; how many were ended."""
    async with connection.transaction():
        ended = await store_tokens.end(connection, token_ids, store_users.ACTOR)
    await tell(connection)
    return len(ended)


async def tell(connection: asyncpg.Connection) -> None:
    """Waits until every service can have heard of what was ended; says so when that must wait."""
    await connection.execute("SELECT pg_notify($1, '')", f"handsent_outbox_{SCHEMA}")
    if not await store_tokens.in_the_log(connection):
        click.echo("the services will hear of it as soon as send-intake and Kafka run", err=True)
