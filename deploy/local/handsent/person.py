"""`handsent person`: what is held of a person, and their erasure."""

import json
import sys
from pathlib import Path
from typing import Any

import click

from handsent.caller import Caller, NotFound, account_option, caller_for
from handsent.credentials import write_private


@click.group()
def person() -> None:
    """People who ask what is held of them, or to be forgotten."""


person_argument = click.argument("phone_or_person_id")


@person.command()
@person_argument
@click.argument("file", default="-", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
@account_option
def export(phone_or_person_id: str, file: Path, account: str) -> None:
    """Write everything that is held of a person, as JSON, to FILE (or stdout): the lists they are on, what was sent and
    what became of it, what they answered, whether they opted out."""
    caller = caller_for(account)
    held = _held(caller, caller.person(phone_or_person_id))
    text = json.dumps(held, indent=2, ensure_ascii=False) + "\n"
    if str(file) == "-":
        sys.stdout.write(text)
    else:
        write_private(file, text)


def _held(caller: Caller, person_id: str) -> dict[str, Any]:
    """Raises NotFound when no service knows them."""
    held: dict[str, Any] = json.load(caller.ask("dispatcher", "GET", f"/persons/{person_id}"))
    try:
        lists = json.load(caller.ask("projections", "GET", f"/persons/{person_id}/recipients"))["recipients"]
    except NotFound:
        lists = []
    timelines = [
        {**one, "events": _timeline(caller, one["campaign_id"], one["recipient_id"])["events"]} for one in lists
    ]
    return {**held, "recipients": timelines}


def _timeline(caller: Caller, campaign_id: str, recipient_id: str) -> dict[str, Any]:
    path = f"/campaigns/{campaign_id}/recipients/{recipient_id}/timeline"
    timeline: dict[str, Any] = json.load(caller.ask("projections", "GET", path))
    return timeline


@person.command()
@person_argument
@click.option("--reason", required=True, help="Why: their wish, as a rule; recorded.")
@account_option
def erase(phone_or_person_id: str, reason: str, account: str) -> None:
    """Erase a person: nothing more is sent to them, and what their key sealed can be read no more, also in the log and
    in old backups (SECURITY.md says what it did not seal). Figures stay as they are; if they had opted out, they still
    have. This cannot be undone.

    Exit code 1: they are erased, but their key could not be destroyed yet; the dispatcher goes on trying."""
    caller = caller_for(account)
    person_id = caller.person(phone_or_person_id)
    answer = json.load(caller.ask("dispatcher", "POST", f"/persons/{person_id}/erasure", {"reason": reason}))
    click.echo(f"{person_id} is erased" + ("" if answer["finished"] else "; the key is still to be destroyed"))
    sys.exit(0 if answer["finished"] else 1)
