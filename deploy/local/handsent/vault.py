"""`handsent vault`: the keys of persons, and the key that wraps them."""

import asyncio

import asyncpg
import click
from kernel.seal import Tampered
from kernel.vault import SCHEMA

from handsent.opening import vault_of
from handsent.stack import Stack, current_stack

CHUNK = 1000


@click.group()
def vault() -> None:
    """The keys of persons, and the key that wraps them."""


@vault.command()
def rotate() -> None:
    """Wrap every key with VAULT_KEY that one of VAULT_KEYS_OLD still wraps; then those can be forgotten.

    Before it, in two steps: every service gets the new key in VAULT_KEYS_OLD; then the new one as VAULT_KEY and the
    former one in VAULT_KEYS_OLD. May be repeated."""
    try:
        count = asyncio.run(_rotate(current_stack()))
    except (OSError, asyncpg.PostgresError, Tampered) as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{count} keys wrapped anew")


async def _rotate(stack: Stack) -> int:
    count = 0
    async with vault_of(stack, SCHEMA) as vault:
        while done := await vault.rewrap(CHUNK):
            count += done
    return count
