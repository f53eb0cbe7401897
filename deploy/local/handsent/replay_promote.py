"""`handsent replay promote`: the run in the place of the live tables, and back."""

import asyncio

import click
from projections import app_promote
from projections.app_promote import Promoted
from projections.store_run import OLD, RUN

from handsent.replay_kept import kept, progress
from handsent.stack import Stack, current_stack


@click.command()
@click.option("--back", is_flag=True, help="Back to the tables that the last promote has put aside.")
@click.option("--force", is_flag=True, help="Although it was not compared, differs, or has not caught up.")
@click.option("--reason", help="Why it is forced; recorded.")
def promote(back: bool, force: bool, reason: str | None) -> None:
    """Put the run in the place of the tables people read from, in one transaction, while projections goes on. Those
    that were live are kept as projections_old until the next promote, or `abort --old`.

    Exit code 1: it was refused, and nothing has changed."""
    if force and not (reason or "").strip():
        raise click.UsageError("--force wants a --reason: it is recorded")
    if back:
        _back()
        return

    async def work(stack: Stack) -> Promoted:
        return await app_promote.promote(stack.database_url, stack.kafka_bootstrap, force)

    done = kept("promote", {"force": force, "reason": reason}, work, lambda done: f"promoted at {done.events} events")
    click.echo(f"promoted at {done.events:,} events; the former tables are {OLD}")
    if done.behind:
        click.echo(f"projections has {done.behind:,} events to fold once more", err=True)


def _back() -> None:
    async def work(stack: Stack) -> Promoted:
        return await app_promote.back(stack.database_url)

    done = kept("promote", {"back": True}, work, lambda done: f"back, {done.behind} events behind")
    click.echo(f"back; what was promoted is {RUN} again")
    if done.behind:
        progress(f"figures are {done.behind:,} events old until projections has folded them")
        if lacks := asyncio.run(app_promote.caught_up_again(current_stack().database_url)):
            raise click.ClickException(f"projections has not caught up yet: {lacks:,} events; does it run?")
        progress("projections has caught up")


COMMANDS = (promote,)
