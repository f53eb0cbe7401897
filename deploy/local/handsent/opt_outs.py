"""`handsent opt-outs`: who is not to be texted, through the dispatcher's API."""

import json
import shutil
import sys
from pathlib import Path

import click

from handsent.caller import account_option, caller_for

SERVICE, PATH = "dispatcher", "/opt-outs"


@click.group("opt-outs")
def opt_outs() -> None:
    """People who are not to be texted, by account."""


@opt_outs.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@account_option
def import_(file: Path, account: str) -> None:
    """Opt out everybody on the list FILE: CSV with a phone column. Exit code 1: some rows were rejected."""
    with sys.stdin.buffer if str(file) == "-" else file.open("rb") as body:
        answer = json.load(caller_for(account).ask(SERVICE, "POST", f"{PATH}/import", body, "text/csv"))
    for reject in answer["rejects"]:
        click.echo(f"line {reject['line']}: {reject['reason']}", err=True)
    click.echo(f"added {answer['added']}, already there {answer['already']}, rejected {answer['rejected']}")
    sys.exit(1 if answer["rejected"] else 0)


@opt_outs.command()
@click.argument("file", default="-", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
@account_option
def export(file: Path, account: str) -> None:
    """Write everybody who has opted out to FILE (or stdout) as CSV."""
    with caller_for(account).ask(SERVICE, "GET", f"{PATH}/export.csv") as answer:
        if str(file) == "-":
            shutil.copyfileobj(answer, sys.stdout.buffer)
        else:
            with file.open("wb") as out:
                shutil.copyfileobj(answer, out)


@opt_outs.command()
@click.argument("phone")
@click.option("--reason", default="", help="Recorded.")
@click.option("--legal", is_flag=True, help="By law or order: no START lifts it, only `remove` with a reason.")
@account_option
def add(phone: str, reason: str, legal: bool, account: str) -> None:
    """Opt out the person with this PHONE; print their person id. In force when this returns."""
    said = {"phone": phone, "reason": reason, "source": "legal" if legal else "manual"}
    answer = caller_for(account).ask(SERVICE, "POST", PATH, said)
    click.echo("opted out" if answer.status == 201 else "had opted out before", err=True)
    click.echo(json.load(answer)["person_id"])


@opt_outs.command()
@click.argument("phone_or_person_id")
@click.option("--reason", required=True, help="Why this person may be texted again; recorded.")
@account_option
def remove(phone_or_person_id: str, reason: str, account: str) -> None:
    """Let the person be texted again."""
    caller = caller_for(account)
    person = caller.person(phone_or_person_id)
    caller.ask(SERVICE, "DELETE", f"{PATH}/{person}", {"reason": reason})
    click.echo(f"{person} may be texted again", err=True)
