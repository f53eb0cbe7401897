"""`handsent replay plan`: what a run would do, before anything moves."""

import json
from collections.abc import Iterator
from typing import Any

import click
from projections import app_plan
from projections.app_plan import Plan

from handsent.replay_kept import kept
from handsent.stack import Stack


@click.command()
@click.option("--workers", type=click.IntRange(min=1), help="Processes that fold; as many as there are CPUs.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def plan(workers: int | None, as_json: bool) -> None:
    """Say what `run` would read, partition by partition, how much room it wants and about how long it takes: for that
    a few of the events are folded into tables that end with the session. Nothing else is touched."""

    async def work(stack: Stack) -> Plan:
        return await app_plan.plan(stack.database_url, stack.kafka_bootstrap, workers)

    found = kept("plan", {"workers": workers}, work, lambda plan: f"{plan.events} events to fold")
    click.echo(json.dumps(as_dict(found)) if as_json else "\n".join(lines(found)))


def as_dict(plan: Plan) -> dict[str, Any]:
    """The JSON that `--json` prints."""
    return {
        "goes_on": plan.goes_on,
        "partitions": [
            {
                "topic": part.topic,
                "partition": part.partition,
                "from": part.start,
                "to": part.until,
                "events": part.events,
            }
            for part in plan.parts
        ],
        "events": plan.events,
        "tables": [size._asdict() for size in plan.sizes],
        "room_bytes": plan.room,
        "workers": plan.workers,
        "sampled_events": plan.sampled,
        "events_per_second": round(plan.per_second) if plan.per_second else None,
        "estimated_seconds": round(plan.seconds, 1) if plan.seconds is not None else None,
    }


def lines(plan: Plan) -> Iterator[str]:
    """The same for a person."""
    for part in plan.parts:
        place = f"{part.topic}-{part.partition}"
        yield f"{place:<14} {part.start:>12} to {part.until:>12}  {part.events:>12} events"
    yield f"{plan.events:,} events" + (" more: there is a run, which goes on" if plan.goes_on else "")
    for size in plan.sizes:
        yield f"{size.table:<18} {_mb(size.bytes):>10}  about {size.rows:,} rows"
    yield f"room: {_mb(plan.room)} for the run's tables at most, and as much once through Postgres's log (WAL);"
    yield "      after a promote the former tables stay until `abort --old` or the next one. How much is free, Postgres"
    yield "      does not tell"
    if plan.per_second and plan.seconds is not None:
        yield (f"time: about {plan.seconds:,.0f} s with {plan.workers} workers, at {plan.per_second:,.0f}/s: so fast "
               f"were {plan.sampled:,} events folded just now")  # fmt: skip
    else:
        yield "time: no events were there to measure"


def _mb(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


COMMANDS = (plan,)
