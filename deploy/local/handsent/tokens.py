"""`handsent token`: what scripts come in with, and its end."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import click
from send_intake import store_tokens
from send_intake.store_tokens import Kind, Made, NotAllowed

from handsent.access import account_option, days_option, end, known, name_of, run, store
from handsent.stack import current_stack


@click.group()
def token() -> None:
    """Bearer tokens and sessions. A token is shown once; what is kept is its hash."""


@token.command("list")
@account_option
def list_(account: str) -> None:
    """Print the account's tokens and sessions that are good now: id, user, kind, name, end."""
    for row in run(_listed(current_stack().database_url, account)):
        until = row["expires_at"].strftime("%Y-%m-%dT%H:%M:%SZ")
        click.echo(f"{row['token_id']}\t{row['user']}\t{row['kind']}\t{row['name']}\t{until}")


async def _listed(database_url: str, account: str) -> list[dict[str, Any]]:
    async with store(database_url) as connection:
        account_id = await connection.fetchval("SELECT account_id::text FROM accounts WHERE name = $1", account)
        return await store_tokens.live(connection, account_id, None) if account_id else []


@token.command()
@click.argument("user", callback=name_of)
@click.option("--name", callback=name_of, default="handsent token add", help="What it is for.")
@account_option
@days_option
def add(user: str, name: str, account: str, days: int) -> None:
    """Print a bearer token for the USER, who must be there; `handsent user add` makes one."""
    stack = current_stack()
    life = timedelta(days=days)
    made = run(_made(stack.database_url, stack.setting("TOKEN_KEY"), account, user, name, life))
    click.echo(f"{made.token_id}: {user} of the account {account}, for {days} days:", err=True)
    click.echo(made.token)


async def _made(database_url: str, token_key: str, account: str, name: str, purpose: str, life: timedelta) -> Made:
    async with store(database_url) as connection:
        user = await known(connection, account, name)
        try:
            return await store_tokens.make(connection, token_key, user, Kind.TOKEN, purpose, life)
        except NotAllowed:
            raise click.ClickException(f"{name} is disabled: `handsent user add` lets them in again") from None


@token.command()
@click.argument("token_id", type=click.UUID)
def revoke(token_id: UUID) -> None:
    """End the token or session TOKEN_ID in every service, and what was made with it. Its id is in `token list`."""
    click.echo(f"{run(_end(current_stack().database_url, str(token_id)))} tokens ended", err=True)


async def _end(database_url: str, token_id: str) -> int:
    async with store(database_url) as connection:
        if not await _is_there(connection, token_id):
            raise click.ClickException("there is no such token")
        return await end(connection, [token_id])


async def _is_there(connection: asyncpg.Connection, token_id: str) -> bool:
    return bool(await connection.fetchval("SELECT EXISTS (SELECT FROM tokens WHERE token_id = $1)", token_id))
