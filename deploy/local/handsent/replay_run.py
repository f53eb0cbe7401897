"""`handsent replay run`, `abort`, `history`: read models made anew beside the live ones, and what was done."""

import json
import sys
from pathlib import Path
from typing import Any

import asyncpg
import click
from projections import app_run, store_run
from projections.app_run import Done
from projections.store_run import OLD, RUN, Refused

from handsent.replay_kept import kept, progress
from handsent.stack import Stack, current_stack

Folder = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command()
@click.option("--follow", is_flag=True, help="Goes on until it is promoted or aborted, or Ctrl-C.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes that fold; as many as there are CPUs.")
@click.option("--migrations", type=Folder, help="A folder of .sql files that come after this version's own migrations.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def run(follow: bool, workers: int | None, migrations: Path | None, as_json: bool) -> None:
    """Build the read models of projections from the log's beginning, by this version, in a schema beside the live one,
    up to where projections itself has read. Live tables and consumers are not touched. Killed, it goes on where it was
    when it is called again.

    Exit code 1: it stands still at an event, or cannot begin."""
    also = {path.name: path.read_text() for path in sorted(migrations.glob("*.sql"))} if migrations else {}
    arguments = {"follow": follow, "workers": workers, "migrations": sorted(also)}

    async def work(stack: Stack) -> Done:
        done = await app_run.run(stack.database_url, stack.kafka_bootstrap, also, workers, progress)
        if not done.stopped:
            click.echo(_json(done) if as_json else _line(done))
        if follow and not done.stopped:
            stopped = await app_run.follow(stack.database_url, stack.kafka_bootstrap, progress)
            return done._replace(stopped=stopped)
        return done

    done = kept("run", arguments, work, _outcome)
    for (topic, partition), offset in sorted(done.stopped.items()):
        click.echo(f"it stands still at {topic}-{partition}@{offset}, which projections has folded", err=True)
    sys.exit(1 if done.stopped else 0)


def _json(done: Done) -> str:
    return json.dumps({"events": done.events, "seconds": round(done.seconds, 3), "events_per_second": done.per_second})


def _line(done: Done) -> str:
    return (f"caught up: {done.events:,} events folded in {done.seconds:.1f} s ({done.per_second:,} a second); "
            f"compare with `handsent replay diff`")  # fmt: skip


def _outcome(done: Done) -> str:
    if done.stopped:
        return "stands still at " + ", ".join(f"{t}-{p}@{offset}" for (t, p), offset in sorted(done.stopped.items()))
    return f"caught up, {done.events} events"


@click.command()
@click.option("--old", is_flag=True, help="The tables that a promote has put aside, instead.")
def abort(old: bool) -> None:
    """Drop the run. The live tables are not touched."""
    schema = OLD if old else RUN

    async def work(stack: Stack) -> None:
        async with store_run.session(stack.database_url) as admin, store_run.alone(admin, app_run.WAIT_S):
            if schema not in await store_run.schemas(admin):
                raise Refused("there is nothing to drop")
            await store_run.drop(admin, schema)

    kept("abort", {"old": old}, work, lambda _: f"{schema} dropped")
    click.echo(f"{schema} is dropped")


@click.command()
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def history(limit: int, as_json: bool) -> None:
    """Who has called which replay command, when, and what came of it; the newest first."""
    for row in _history(current_stack(), limit):
        row["arguments"] = json.loads(row["arguments"])
        click.echo(json.dumps(row, default=str) if as_json else _told(row))


def _history(stack: Stack, limit: int) -> list[dict[str, Any]]:
    import asyncio

    async def asked() -> list[dict[str, Any]]:
        async with store_run.session(stack.database_url) as connection:
            return await store_run.history(connection, limit)

    try:
        return asyncio.run(asked())
    except (Refused, OSError, asyncpg.PostgresError) as error:
        raise click.ClickException(str(error)) from None


def _told(row: dict[str, Any]) -> str:
    said = " ".join(f"{name}={value}" for name, value in row["arguments"].items() if value not in (None, False, []))
    outcome = row["outcome"] or "goes on, or was killed"
    return f"{row['begun_at']:%Y-%m-%d %H:%M:%S}Z  {row['done_by']:<12} {row['command']:<8} {said:<30} {outcome}"


COMMANDS = (run, abort, history)
