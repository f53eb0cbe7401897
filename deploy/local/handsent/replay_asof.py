"""`handsent replay asof`: a campaign as it was at a time, from the log."""

import json
import sys
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import click
from kernel.seal import Key
from projections import app_scan, people
from projections.app_scan import Scanned
from projections.people import Person
from projections.store_run import Refused

from handsent.log_view import MASK
from handsent.opening import vault_of
from handsent.replay_kept import kept
from handsent.stack import Stack


def _uuid(_context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    try:
        return None if value is None else str(UUID(value))
    except ValueError:
        raise click.BadParameter("an id is a UUID") from None


def _time(_context: click.Context, _parameter: click.Parameter, value: str) -> datetime:
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter("a time is RFC 3339: 2026-03-01T12:00:00Z") from None
    if at.tzinfo is None:
        raise click.BadParameter("say the offset, or Z: 2026-03-01T12:00:00Z")
    try:
        return at.astimezone(UTC)
    except OverflowError:  # nothing has happened before the first time there is, nor after the last
        return datetime.min.replace(tzinfo=UTC) if at.year == 1 else datetime.max.replace(tzinfo=UTC)


@click.command()
@click.argument("campaign", callback=_uuid)
@click.option("--at", required=True, callback=_time, metavar="TIME", help="RFC 3339, with its offset.")
@click.option("--recipient", callback=_uuid, metavar="RID", help="This recipient instead of the figures.")
@click.option("--recorded", is_flag=True, help="What the log held by TIME, instead of what had happened by then.")
@click.option("--pii", is_flag=True, help="Shows the number and the list's row; needs the vault.")
def asof(campaign: str, at: datetime, recipient: str | None, recorded: bool, pii: bool) -> None:
    """Print what Progress, or a recipient, of CAMPAIGN was at TIME, as the API answers it: a fold of the events with
    occurred_at up to TIME. It counts what had happened by then, also what was heard of only later (a late receipt):
    what was true at TIME, not what was shown then. What was shown is --recorded: a fold of what the log held at TIME.
    Events that an operator has set aside are left out, as in Progress.

    Reads the log from its beginning: all partitions that tell of recipients, or those of RID; changes nothing.
    Exit code 1: CAMPAIGN, or RID, was not known by then, or events about it cannot be read or are gone."""

    async def work(stack: Stack) -> tuple[Scanned, dict[str, Any]]:
        found = await app_scan.campaign_then(
            stack.database_url, stack.kafka_bootstrap, campaign, at, recorded, recipient
        )
        if not found.then.known:
            raise Refused("the log knows of no such campaign by then")
        if recipient is None:
            return found, found.then.progress(found.as_of)
        if recipient not in found.then.rows:
            raise Refused("the log knows of no such recipient in this campaign by then")
        return found, found.then.recipient(recipient, await _person(stack, found, recipient, pii))

    arguments = {"campaign": campaign, "at": at.isoformat(), "recipient": recipient, "recorded": recorded, "pii": pii}
    found, answer = kept("asof", arguments, work, lambda done: f"{len(done[0].then.rows)} recipients")
    click.echo(json.dumps(answer, default=_plain, ensure_ascii=False))
    if found.unreadable:
        click.echo(f"{found.unreadable} records about it cannot be read, and are not counted", err=True)
        sys.exit(1)


async def _person(stack: Stack, found: Scanned, recipient_id: str, pii: bool) -> Person:
    row = found.then.rows[recipient_id]
    listed = row.listed
    columns, cells = (listed.columns, listed.cells) if listed else (None, None)
    if not pii:
        names = people.person(None, None, columns, None).cells
        return Person(row.number and MASK, dict.fromkeys(names, MASK))
    async with vault_of(stack) as vault:
        key: Key | None = (await vault.keys([row.person_id])).get(row.person_id)
    return people.person(key, row.number, columns, cells)


def _plain(value: Any) -> str:
    """As the API writes times."""
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else str(value)


COMMANDS = (asof,)
