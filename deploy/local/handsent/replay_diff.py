"""`handsent replay diff`: the run against the live tables, row by row."""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import click
from kernel.verdict import Difference
from projections import app_diff
from projections.comparison import Compared, Comparison

from handsent.replay_kept import kept, progress
from handsent.stack import Stack


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def diff(as_json: bool) -> None:
    """Compare the run with the live tables as of one moment: live as it stands, the run brought to exactly its offsets.
    Columns and tables that only one of them has are named and passed over; what is sealed is compared as it is.

    Exit code 1: they differ, or the run cannot be brought there."""

    async def work(stack: Stack) -> Comparison:
        return await app_diff.diff(stack.database_url, stack.kafka_bootstrap, progress)

    found = kept("diff", {}, work, _outcome)
    click.echo(json.dumps(as_dict(found)) if as_json else "\n".join(lines(found)))
    sys.exit(0 if found.equal else 1)


def _outcome(found: Comparison) -> str:
    if found.equal:
        return f"equal at {found.events} events"
    differing = ", ".join(f"{table.name} {table.differing}" for table in found.tables if table.differing)
    return f"differs: {differing}" if differing else "the run stands still before the live tables"


def as_dict(found: Comparison) -> dict[str, Any]:
    """The JSON that `--json` prints."""
    until: dict[str, dict[str, int]] = {}
    for (topic, partition), offset in sorted(found.until.items()):
        until.setdefault(topic, {})[str(partition)] = offset
    return {
        "equal": found.equal,
        "tables": {table.name: _table(table) for table in found.tables},
        "ignored": found.ignored,
        "refused": [refused._asdict() for refused in found.refused],
        "events": found.events,
        "until": until,
        "seconds": round(found.seconds, 3),
    }


def _table(table: Compared) -> dict[str, Any]:
    told = asdict(table)
    del told["name"]
    return told | {"differences": [difference._asdict() for difference in table.differences]}


def lines(found: Comparison) -> Iterator[str]:
    """The same for a person."""
    for table in found.tables:
        differ = f"{table.differing} DIFFER" if table.differing else "equal"
        rows = f"{table.live_rows:>10} rows live, {table.run_rows:>10} in the run"
        yield f"{table.name:<18} {rows}  {table.live_checksum[:12]} {table.run_checksum[:12]}  {differ}"
        yield from (f"  {_difference(difference)}" for difference in table.differences)
        if table.differing > len(table.differences):
            yield f"  and {table.differing - len(table.differences)} more"
    yield from (f"not compared: {what}" for what in found.ignored)
    yield from (f"the run stands still at {r.topic}-{r.partition}@{r.offset}" for r in found.refused)
    yield f"both as of {found.events:,} events; {found.seconds:.1f} s"
    yield "the run equals the live tables" if found.equal else "THE RUN DIFFERS FROM THE LIVE TABLES"


def _difference(difference: Difference) -> str:
    key = ", ".join(f"{column} {value}" for column, value in difference.key.items())
    if not difference.folded:
        return f"{key}: only live"
    if not difference.live:
        return f"{key}: only in the run"
    return f"{key}: {', '.join(difference.columns)}"


COMMANDS = (diff,)
