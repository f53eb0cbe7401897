"""`handsent replay verify`: the log, folded once more, must give the tables of every service."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import asyncpg
import click
import dispatcher.app_replay
import projections.app_replay
import scheduler.app_replay
import send_intake.app_replay
from kernel import replay as kernel_replay
from kernel.errors import LogLost
from kernel.replay import OUTBOX
from kernel.replay_tables import NotComparable
from kernel.verdict import Difference, Refused, Table, Verdict
from projections import store_run

from handsent import replay_asof, replay_diff, replay_plan, replay_promote, replay_run, replay_trace
from handsent.replay_kept import kept
from handsent.stack import Stack

SERVICES = (send_intake, scheduler, dispatcher, projections)
REBUILT = {service.app_replay.REBUILT.service: service.app_replay.REBUILT for service in SERVICES}
NAME = click.Choice(list(REBUILT))


@click.group()
def replay() -> None:
    """The log, from its beginning once more."""


for command in (
    *replay_plan.COMMANDS,
    *replay_run.COMMANDS,
    *replay_diff.COMMANDS,
    *replay_promote.COMMANDS,
    *replay_asof.COMMANDS,
    *replay_trace.COMMANDS,
):
    replay.add_command(command)


@replay.command()
@click.option("--service", "services", multiple=True, type=NAME, help="Only this one; repeatable.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def verify(services: Sequence[str], as_json: bool) -> None:
    """Fold the topics from their beginning into tables of its own, and say whether the derived tables of every service
    equal them: which table, which row, which columns do not. The services go on meanwhile. Takes as much room in
    Postgres as the tables of a service, twice, until it ends; needs no vault: what is sealed is compared as it is.

    Exit code 1: they are not equal, or it cannot be told."""

    async def work(stack: Stack) -> dict[str, Verdict]:
        return {name: await _verdict(stack, name) for name in REBUILT if name in services or not services}

    verdicts = kept("verify", {"services": list(services)}, work, _outcome)
    click.echo(json.dumps(as_dict(verdicts)) if as_json else "\n".join(lines(verdicts)))
    sys.exit(0 if _equal(verdicts) else 1)


async def _verdict(stack: Stack, name: str) -> Verdict:
    try:
        return await kernel_replay.verify(stack.database_url, stack.kafka_bootstrap, REBUILT[name])
    except NotComparable as error:
        raise store_run.Refused(str(error)) from None
    except LogLost as error:
        raise LogLost(f"{name}: {error}") from None
    except asyncpg.UndefinedTableError:
        raise store_run.Refused(f"{name}: the session with the copies ended before they were compared") from None


def _outcome(verdicts: Mapping[str, Verdict]) -> str:
    differing = [name for name, verdict in verdicts.items() if not verdict.equal]
    return f"differs: {', '.join(differing)}" if differing else "equal"


def _equal(verdicts: Mapping[str, Verdict]) -> bool:
    return all(verdict.equal for verdict in verdicts.values())


def as_dict(verdicts: Mapping[str, Verdict]) -> dict[str, Any]:
    """The JSON that `--json` prints. What is about projections stands at the top as well, where it was at first."""
    services = {name: _verdict_as_dict(verdict) for name, verdict in verdicts.items()}
    return {**services.get("projections", {}), "equal": _equal(verdicts), "services": services}


def _verdict_as_dict(verdict: Verdict) -> dict[str, Any]:
    return {
        "equal": verdict.equal,
        "tables": {table.name: _table(table) for table in verdict.tables},
        "drifted": verdict.drifted,
        "refused": [refused._asdict() for refused in verdict.refused],
        "events": verdict.events,
        "passed_over": verdict.passed_over,
        "events_per_second": verdict.events_per_second,
        "fold_s": round(verdict.fold_s, 3),
        "total_s": round(verdict.total_s, 3),
    }


def _table(table: Table) -> dict[str, Any]:
    told = asdict(table)
    del told["name"]
    return told | {"differences": [difference._asdict() for difference in table.differences]}


def lines(verdicts: Mapping[str, Verdict]) -> Iterator[str]:
    """The same for a person."""
    for name, verdict in verdicts.items():
        yield name
        yield from (f"  {line}" for line in _lines_of(verdict))
    yield "the tables are what the log says" if _equal(verdicts) else "THE TABLES ARE NOT WHAT THE LOG SAYS"


def _lines_of(verdict: Verdict) -> Iterator[str]:
    for table in verdict.tables:
        differ = f"{table.differing} DIFFER" if table.differing else "equal"
        yield f"{table.name:<18} {table.rows:>10} rows  {differ}"
        yield from (f"  {_difference(difference)}" for difference in table.differences)
        if table.differing > len(table.differences):
            yield f"  and {table.differing - len(table.differences)} more"
    yield from (f"campaign {id_}: its figures are no recount of its rows" for id_ in verdict.drifted)
    yield from (f"{_place(refused)} was folded, and cannot be folded now" for refused in verdict.refused)
    aside = f", {verdict.passed_over} set aside" if verdict.passed_over else ""
    yield f"{verdict.events} events folded{aside}; {verdict.events_per_second} a second, {verdict.total_s:.1f} s in all"


def _difference(difference: Difference) -> str:
    key = ", ".join(f"{column} {value}" for column, value in difference.key.items())
    if not difference.folded:
        return f"{key}: the log does not give this row"
    if not difference.live:
        return f"{key}: the row is missing"
    return f"{key}: {', '.join(difference.columns)}"


def _place(refused: Refused) -> str:
    if refused.partition == OUTBOX:
        return f"an event in the outbox for {refused.topic}"
    return f"{refused.topic}-{refused.partition}@{refused.offset}"
