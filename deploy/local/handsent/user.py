"""`handsent user add`: who may sign in, and the token they sign in with."""

import asyncio
from uuid import uuid4

import asyncpg
import click
from kernel import database
from kernel.tokens import Role, issue
from send_intake.store_users import add_user

from handsent.stack import current_stack

SCHEMA = "send_intake"
MAX_NAME = 100


def _name(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    value = value.strip()
    if not value or len(value) > MAX_NAME or not value.isprintable():
        raise click.BadParameter(f"a name has 1 to {MAX_NAME} printable characters")
    return value


@click.group()
def user() -> None:
    """People who may sign in."""


@user.command()
@click.argument("name", callback=_name)
@click.option("--role", type=click.Choice([str(role) for role in Role]), default=str(Role.SENDER), show_default=True)
@click.option("--account", callback=_name, default="demo", show_default=True, help="Made if there is none.")
def add(name: str, role: str, account: str) -> None:
    """Print a bearer token for the user NAME, who is made if need be. Older tokens stay good."""
    stack = current_stack()
    try:
        token = asyncio.run(token_for(stack.database_url, stack.setting("TOKEN_KEY"), account, name, Role(role)))
    except (OSError, asyncpg.PostgresError) as error:
        raise click.ClickException(f"the database does not take it: {error}") from None
    click.echo(f"{name} may sign in to the account {account} as {role} with:", err=True)
    click.echo(token)


async def token_for(database_url: str, token_key: str, account: str, name: str, role: Role, known: bool = False) -> str:
    """A token for the user, who is made if need be; so is the account, unless it must be `known`."""
    await database.migrate(database_url, SCHEMA, SCHEMA)
    connection = await database.connect(database_url, SCHEMA)
    try:
        if known and not await connection.fetchval("SELECT 1 FROM accounts WHERE name = $1", account):
            raise click.ClickException(f"no account is called {account}: `handsent user add` makes one")
        return issue(token_key, await add_user(connection, account, name, role), str(uuid4()))
    finally:
        await connection.close()
