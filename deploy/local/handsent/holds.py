"""`handsent holds`: persons whose messages wait until somebody has read what they answered."""

import json
from urllib.parse import urlencode

import click

from handsent.caller import account_option, caller_for

SERVICE, PATH = "dispatcher", "/holds"


@click.group()
def holds() -> None:
    """People whose messages wait for somebody to read what they answered: threats, abuse, "wrong number"."""


@holds.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@account_option
def list_(account: str, as_json: bool) -> None:
    """Print who is held, since when, how many messages wait, and the reply."""
    caller, after = caller_for(account), None
    while True:
        query = urlencode({"limit": 500, **({"after": after} if after else {})})
        page = json.load(caller.ask(SERVICE, "GET", f"{PATH}?{query}"))
        for held in page["holds"]:
            click.echo(json.dumps(held, ensure_ascii=False) if as_json else _line(held))
        after = page.get("next")
        if after is None:
            return


def _line(held: dict[str, object]) -> str:
    said = json.dumps(held["body"], ensure_ascii=False)  # one line, whatever is in it
    return f"{held['person_id']}  {held['phone']}  since {held['held_at']}  {held['waiting']} waiting  {said}"


person_argument = click.argument("phone_or_person_id")
reason_option = click.option("--reason", required=True, help="Why; recorded.")


@holds.command()
@person_argument
@reason_option
@account_option
def release(phone_or_person_id: str, reason: str, account: str) -> None:
    """Let the messages of this person go."""
    _decide(phone_or_person_id, account, "release", reason)


@holds.command("opt-out")
@person_argument
@reason_option
@account_option
def opt_out(phone_or_person_id: str, reason: str, account: str) -> None:
    """Opt the person out: what they answered means that."""
    _decide(phone_or_person_id, account, "opt_out", reason)


def _decide(named: str, account: str, decision: str, reason: str) -> None:
    caller = caller_for(account)
    person = caller.person(named)
    answer = json.load(caller.ask(SERVICE, "POST", f"{PATH}/{person}", {"decision": decision, "reason": reason}))
    click.echo(f"{person} {answer['decision'].replace('_', ' ')}", err=True)
