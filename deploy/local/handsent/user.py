"""`handsent user`: who may sign in, and how."""

from datetime import timedelta
from typing import Any

import click
from kernel.tokens import LIFE, Role
from send_intake import store_tokens, store_users
from send_intake.app_passwords import LEAST, MOST, Passwords
from send_intake.store_tokens import Kind

from handsent.access import account_option, days_option, end, known, name_of, run, store, tell
from handsent.stack import current_stack


@click.group()
def user() -> None:
    """People who may sign in."""


@user.command()
@click.argument("name", callback=name_of)
@click.option("--role", type=click.Choice([str(role) for role in Role]), default=str(Role.SENDER), show_default=True)
@click.option("--account", callback=name_of, default="demo", show_default=True, help="Made if there is none.")
@click.option("--oidc-subject", help="Whom the OpenID Connect issuer calls so signs in as this user.")
@days_option
def add(name: str, role: str, account: str, oidc_subject: str | None, days: int) -> None:
    """Print a bearer token for the user NAME, who is made if need be. Older tokens stay good, unless the role is
    another than before: that ends all their tokens and sessions, as `user sign-out` does."""
    stack = current_stack()
    url, key, life = stack.database_url, stack.setting("TOKEN_KEY"), timedelta(days=days)
    try:
        token = run(token_for(url, key, account, name, Role(role), life=life, oidc_subject=oidc_subject))
    except store_users.SubjectTaken:
        raise click.ClickException("this identity is linked to another user") from None
    click.echo(f"{name} may sign in to the account {account} as {role}, for {days} days, with:", err=True)
    click.echo(token)


async def token_for(
    database_url: str,
    token_key: str,
    account: str,
    name: str,
    role: Role,
    known: bool = False,
    life: timedelta = LIFE,
    oidc_subject: str | None = None,
) -> str:
    """A token for the user, who is made if need be; so is the account, unless it must be `known`.

    What another role than before has ended is said on stderr.
    """
    async with store(database_url) as connection:
        if known and not await connection.fetchval("SELECT 1 FROM accounts WHERE name = $1", account):
            raise click.ClickException(f"no account is called {account}: `handsent user add` makes one")
        async with connection.transaction():  # the user's row is held: nobody changes the role in between
            added = await store_users.add_user(connection, account, name, role, oidc_subject)
            made = await store_tokens.make(connection, token_key, added.user, Kind.TOKEN, "handsent user add", life)
        if added.former is not None:
            click.echo(f"{name} is no {added.former} any more: {added.ended} tokens ended", err=True)
            await tell(connection)
        return made.token


@user.command("list")
@account_option
def list_(account: str) -> None:
    """Print the people of the account: name, role, and how they may sign in."""
    for row in run(_listed(current_stack().database_url, account)):
        ways = [
            "disabled" if row["disabled_at"] else "",
            "password" if row["password"] else "",
            f"subject {row['oidc_subject']}" if row["oidc_subject"] else "",
            f"{row['tokens']} tokens" if row["tokens"] else "",
        ]
        click.echo(f"{row['name']}\t{row['role']}\t{', '.join(filter(None, ways))}")


async def _listed(database_url: str, account: str) -> list[dict[str, Any]]:
    async with store(database_url) as connection:
        return await store_users.listed(connection, account)


@user.command()
@click.argument("name", callback=name_of)
@account_option
def password(name: str, account: str) -> None:
    """Give the user NAME a password: asked for, or one line of stdin. Ends their sessions; tokens stay."""
    stack = current_stack()
    stream = click.get_text_stream("stdin")
    if stream.isatty():
        given = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        given = stream.readline().rstrip("\r\n")
    if not LEAST <= len(given) <= MOST:
        raise click.ClickException(f"a password has {LEAST} to {MOST} characters")
    run(_set_password(stack.database_url, account, name, given))
    click.echo(f"{name} may sign in to the account {account} with the new password", err=True)


async def _set_password(database_url: str, account: str, name: str, given: str) -> None:
    async with store(database_url) as connection:
        user = await known(connection, account, name)
        await store_users.set_password(connection, user.user_id, Passwords().hash(given))
        await end(connection, await store_tokens.of_user(connection, user.user_id, Kind.SESSION))


@user.command()
@click.argument("name", callback=name_of)
@account_option
def disable(name: str, account: str) -> None:
    """Let the user NAME in no more: ends all their tokens and sessions. `user add` lets them in again."""
    click.echo(f"{run(_end_all(current_stack().database_url, account, name, disable=True))} tokens ended", err=True)


@user.command("sign-out")
@click.argument("name", callback=name_of)
@account_option
def sign_out(name: str, account: str) -> None:
    """End all tokens and sessions of the user NAME, who may sign in again."""
    click.echo(f"{run(_end_all(current_stack().database_url, account, name, disable=False))} tokens ended", err=True)


async def _end_all(database_url: str, account: str, name: str, disable: bool) -> int:
    async with store(database_url) as connection:
        user = await known(connection, account, name)
        async with connection.transaction():
            if disable:  # first: whoever makes a token meanwhile is seen below, or refused
                await store_users.disable(connection, user.user_id)
            found = await store_tokens.of_user(connection, user.user_id)
            ended = await store_tokens.end(connection, found, store_users.ACTOR)
        await tell(connection)
        return len(ended)
