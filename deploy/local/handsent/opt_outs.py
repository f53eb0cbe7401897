"""`handsent opt-outs`: who is not to be texted, through the dispatcher's API."""

import asyncio
import json
import shutil
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import click
from dispatcher.phone import BadPhone, read
from kernel.tokens import Role, verify

from handsent.stack import Stack, current_stack
from handsent.user import token_for
from schemas.identity import person_id

USER = "handsent"
TOKEN_LIFE = timedelta(minutes=5)  # it is looked at when the request comes, however long the list
PATIENCE_S = 3600.0  # a list is answered when all of it is in force


@dataclass(frozen=True)
class Dispatcher:
    """Its opt-outs of one account, as a manager."""

    stack: Stack
    account: str
    token: str

    def ask(self, method: str, path: str = "", body: Any = None, kind: str = "application/json") -> Any:
        """The answer to read from. Raises ClickException with the service's own words when it says no."""
        request = urllib.request.Request(
            f"{self.stack.setting('DISPATCHER_URL')}/api/v1/opt-outs{path}",
            data=json.dumps(body).encode() if isinstance(body, dict) else body,
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": kind},
            method=method,
        )
        try:
            return urllib.request.urlopen(request, timeout=PATIENCE_S)
        except urllib.error.HTTPError as error:
            raise click.ClickException(_words(error)) from None
        except OSError as error:
            raise click.ClickException(f"the dispatcher does not answer: {error}") from None

    def person(self, named: str) -> str:
        """The id of a person, who may be named by it or by phone. A phone never becomes part of a URL."""
        try:
            return str(UUID(named))
        except ValueError:
            pass
        try:
            number = read(named, self.stack.settings.get("DEFAULT_REGION", "US"))
        except BadPhone as error:
            raise click.BadParameter(str(error)) from None
        account_id = verify(self.stack.setting("TOKEN_KEY"), self.token).account_id
        return person_id(self.stack.setting("PERSON_ID_SECRET"), account_id, number)


def _words(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.load(error)["detail"])
    except (ValueError, KeyError, TypeError):
        return f"the dispatcher answers {error.code}"


@click.group("opt-outs")
def opt_outs() -> None:
    """People who are not to be texted, by account."""


def _dispatcher(account: str) -> Dispatcher:
    stack = current_stack()
    try:
        token = asyncio.run(
            token_for(
                stack.database_url, stack.setting("TOKEN_KEY"), account, USER, Role.MANAGER, known=True, life=TOKEN_LIFE
            )
        )
    except (OSError, asyncpg.PostgresError) as error:
        raise click.ClickException(f"the database does not answer: {error}") from None
    return Dispatcher(stack, account, token)


account_option = click.option("--account", default="demo", show_default=True)


@opt_outs.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@account_option
def import_(file: Path, account: str) -> None:
    """Opt out everybody on the list FILE: CSV with a phone column. Exit code 1: some rows were rejected."""
    with sys.stdin.buffer if str(file) == "-" else file.open("rb") as body:
        answer = json.load(_dispatcher(account).ask("POST", "/import", body, "text/csv"))
    for reject in answer["rejects"]:
        click.echo(f"line {reject['line']}: {reject['reason']}", err=True)
    click.echo(f"added {answer['added']}, already there {answer['already']}, rejected {answer['rejected']}")
    sys.exit(1 if answer["rejected"] else 0)


@opt_outs.command()
@click.argument("file", default="-", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
@account_option
def export(file: Path, account: str) -> None:
    """Write everybody who has opted out to FILE (or stdout) as CSV."""
    with _dispatcher(account).ask("GET", "/export.csv") as answer:
        if str(file) == "-":
            shutil.copyfileobj(answer, sys.stdout.buffer)
        else:
            with file.open("wb") as out:
                shutil.copyfileobj(answer, out)


@opt_outs.command()
@click.argument("phone")
@click.option("--reason", default="", help="Recorded.")
@account_option
def add(phone: str, reason: str, account: str) -> None:
    """Opt out the person with this PHONE; print their person id. In force when this returns."""
    answer = _dispatcher(account).ask("POST", body={"phone": phone, "reason": reason})
    click.echo("opted out" if answer.status == 201 else "had opted out before", err=True)
    click.echo(json.load(answer)["person_id"])


@opt_outs.command()
@click.argument("phone_or_person_id")
@click.option("--reason", required=True, help="Why this person may be texted again; recorded.")
@account_option
def remove(phone_or_person_id: str, reason: str, account: str) -> None:
    """Let the person be texted again."""
    dispatcher = _dispatcher(account)
    person = dispatcher.person(phone_or_person_id)
    dispatcher.ask("DELETE", f"/{person}", {"reason": reason})
    click.echo(f"{person} may be texted again", err=True)
