"""`handsent sender`: the numbers an account sends from, through send-intake's API."""

import json

import click

from handsent.caller import account_option, caller_for

SERVICE, PATH = "intake", "/senders"


@click.group()
def sender() -> None:
    """Numbers an account sends from."""


@sender.command()
@click.argument("number")
@account_option
def add(number: str, account: str) -> None:
    """Make NUMBER the account's, for ever; print it. The carrier must know it as yours."""
    answer = caller_for(account).ask(SERVICE, "POST", PATH, {"number": number})
    click.echo(f"the account {account} {'sends' if answer.status == 201 else 'sent already'} from:", err=True)
    click.echo(json.load(answer)["number"])


@sender.command("list")
@account_option
def list_(account: str) -> None:
    """Print the account's numbers; the default one, which campaigns have that name none, comes first."""
    with caller_for(account).ask(SERVICE, "GET", PATH) as answer:
        for one in json.load(answer)["senders"]:
            click.echo(one["number"] + ("\tdefault" if one["default"] else ""))
