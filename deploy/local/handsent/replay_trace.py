"""`handsent replay trace`: every event about one recipient, each behind its cause."""

import json
import sys
from collections.abc import Iterator
from typing import Any, cast
from uuid import UUID

import click
from projections import app_scan
from projections.progress import RecipientEvent
from projections.store_run import Refused

from handsent import log_reader
from handsent.log_view import Seen, fields
from handsent.replay_kept import kept
from handsent.stack import Stack
from handsent.trace import Place, Step, Trace, causes_elsewhere
from handsent.trace import trace as traced

OF_RECIPIENT = ("recipients", "processed", "releases", "dispatches", "receipts")


def _uuid(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    try:
        return str(UUID(value))
    except ValueError:
        raise click.BadParameter("a recipient's id is a UUID") from None


@click.command()
@click.argument("recipient", callback=_uuid)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def trace(recipient: str, as_json: bool) -> None:
    """Print every event about RECIPIENT, its campaign and its person, causes before effects: where it lies in the log,
    when it happened and was appended, who did it, what caused it. A cause that the log does not have is a GAP.

    Exit code 1: there is a gap, or a record that cannot be read."""

    async def work(stack: Stack) -> Trace:
        found = await _traced(stack.kafka_bootstrap, recipient)
        if not found.steps:
            raise Refused("the log knows of no such recipient")
        return found

    found = kept("trace", {"recipient": recipient}, work, lambda found: f"{len(found.steps)} events, {_ended(found)}")
    for line in map(json.dumps, as_dicts(found)) if as_json else lines(found):
        click.echo(line)
    sys.exit(0 if found.whole else 1)


async def _traced(bootstrap: str, recipient_id: str) -> Trace:
    records = await log_reader.of_key(bootstrap, OF_RECIPIENT, recipient_id)
    about = next((record.event for record in records if record.event is not None), None)
    if about is not None:
        event = cast(RecipientEvent, about)  # whatever has a recipient's key is about one
        records += await log_reader.of_key(bootstrap, ("campaigns",), event.campaign_id)
        records += await log_reader.of_key(bootstrap, ("opt-outs",), event.person_id)
    return traced(records, await app_scan.find(bootstrap, causes_elsewhere(records)))


def as_dicts(found: Trace) -> Iterator[dict[str, Any]]:
    """What `--json` prints, a line each."""
    for step in found.steps:
        shown = {name: str(value) for name, value in fields(step.seen, False).items() if value is not None}
        yield {
            **_where(step.seen),
            "event": step.seen.type,
            "event_id": step.event.event_id,
            "occurred_at": step.event.occurred_at.isoformat(),
            "actor": step.event.actor,
            "caused_by": step.event.caused_by,
            "cause": _named(step.cause) if step.cause else None,
            "gap": step.gap,
            "repeats": step.repeats,
            "fields": {name: value for name, value in shown.items() if name not in _SAID},
        }
    for record in found.unreadable:
        yield {**_where(record), "error": record.error}


_SAID = {"event_id", "occurred_at", "actor", "caused_by"}


def _where(record: Seen) -> dict[str, Any]:
    return {"topic": record.topic, "partition": record.partition, "offset": record.offset,
            "appended_at": record.appended_at.isoformat()}  # fmt: skip


def lines(found: Trace) -> Iterator[str]:
    """The same for a person."""
    yield from map(_line, found.steps)
    for record in found.unreadable:
        yield f"CANNOT BE READ: {record.topic}-{record.partition}@{record.offset}: {record.error}"
    yield _ended(found)


def _ended(found: Trace) -> str:
    gaps = sum(step.gap for step in found.steps)
    return "no gaps" if found.whole else f"{gaps} GAPS, {len(found.unreadable)} records cannot be read"


def _line(step: Step) -> str:
    event, seen = step.event, step.seen
    place = _named((seen.topic, seen.partition, seen.offset))
    if step.gap:
        cause = f"GAP: its cause {event.caused_by} is not in the log"
    else:
        cause = f"because of {_named(step.cause)}" if step.cause else "by itself"
    again = " (again)" if step.repeats else ""
    return f"{event.occurred_at.isoformat()}  {place:<22} {seen.type + again:<28} by {event.actor:<12} {cause}"


def _named(place: Place) -> str:
    topic, partition, offset = place
    return f"{topic}-{partition}@{offset}"


COMMANDS = (trace,)
