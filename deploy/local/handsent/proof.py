"""`handsent proof`: that a person's hand sent this text to this recipient, from the log itself."""

import asyncio
import json
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import click
from aiokafka.errors import KafkaError
from kernel import database
from kernel.errors import LogLost
from kernel.seal import Tampered, key_id_of

from handsent import chain, log_reader
from handsent.chain import NotProcessed, Proof
from handsent.opening import vault_of
from handsent.stack import Stack, current_stack
from schemas.events import Event, RecipientProcessed

TELLS_ERASED = "send_intake"  # the role that may read keys, and which were destroyed
OF_RECIPIENT = ("recipients", "processed", "releases", "dispatches", "receipts")
# Names for people; what is proven are the ids in the events.
PRESSED_BY = """SELECT u.name, a.name AS account FROM users u JOIN accounts a USING (account_id) WHERE u.user_id = $1"""
SIGNED_IN = "SELECT user_id::text, kind, name FROM tokens WHERE token_id = $1"


@dataclass(frozen=True)
class Pressed:
    """The proof, who the user is by name, and what they had signed in with, as far as it is known still."""

    proof: Proof
    user: str | None
    account: str | None
    signed_in_with: str | None


def _uuid(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    try:
        return str(UUID(value))
    except ValueError:
        raise click.BadParameter("a recipient's id is a UUID") from None


@click.command()
@click.argument("recipient_id", callback=_uuid)
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@click.option("--pii", is_flag=True, help="Shows the number and the text.")
def proof(recipient_id: str, as_json: bool, pii: bool) -> None:
    """Print who pressed SEND on RECIPIENT_ID, when, on which text and in what, and check the chain from there to the
    carrier, event by event, in the log itself. Exit code 1: it does not hold."""
    try:
        pressed = asyncio.run(_pressed(current_stack(), recipient_id))
    except NotProcessed:
        raise click.ClickException("nobody has pressed SEND on this recipient") from None
    except Tampered as error:
        raise click.ClickException(f"it does not hold: {error}") from None
    except (KafkaError, LogLost, OSError, asyncpg.PostgresError) as error:
        raise click.ClickException(f"it cannot be read: {error}") from None
    shown = _shown(pressed, pii)
    click.echo(json.dumps(shown, ensure_ascii=False) if as_json else _lines(shown))
    sys.exit(0 if pressed.proof.holds else 1)


async def _pressed(stack: Stack, recipient_id: str) -> Pressed:
    """Everything the log has under the recipient's key, and under its campaign's: no table says what to read."""
    events = await _read(stack, OF_RECIPIENT, recipient_id)
    press = next((event for event in events if isinstance(event, RecipientProcessed)), None)
    if press is None:
        raise NotProcessed
    events += await _read(stack, ("campaigns",), press.campaign_id)
    key_id = key_id_of(press.number) or b""
    async with vault_of(stack, TELLS_ERASED) as vault:
        keys = await vault.keys([press.person_id, press.campaign_id])
        erased = bool(await vault.destroyed([(press.person_id, key_id)]))
    connection = await database.connect(stack.database_url, "send_intake")
    try:
        user = await connection.fetchrow(PRESSED_BY, press.processed_by)
        token = await connection.fetchrow(SIGNED_IN, press.token_id)
    finally:
        await connection.close()
    owner = token["user_id"] if token else None
    secret, now = stack.setting("PERSON_ID_SECRET"), datetime.now(UTC)
    found = chain.proof(recipient_id, events, keys, secret, now, owner, erased)
    name, account = (user["name"], user["account"]) if user else (None, None)
    return Pressed(found, name, account, f"{token['kind']} {token['name']}" if token else None)


async def _read(stack: Stack, topics: tuple[str, ...], key: str) -> list[Event]:
    records = await log_reader.of_key(stack.kafka_bootstrap, topics, key)
    for record in records:
        if record.event is None:
            place = f"{record.topic}-{record.partition}@{record.offset}"
            raise click.ClickException(f"it does not hold: {place} cannot be read: {record.error}")
    return [record.event for record in records if record.event is not None]


def _shown(pressed: Pressed, pii: bool) -> dict[str, Any]:
    found, press = pressed.proof, pressed.proof.processed
    return {
        "recipient_id": press.recipient_id,
        "campaign_id": press.campaign_id,
        "account_id": press.account_id,
        "account": pressed.account,
        "person_id": press.person_id,
        "processed_by": press.processed_by,
        "user": pressed.user,
        "processed_at": press.processed_at.isoformat().replace("+00:00", "Z"),
        "token_id": press.token_id,
        "signed_in_with": pressed.signed_in_with,
        "client": press.client,
        "event_id": press.event_id,
        "text_sha256": found.text_sha256,
        "text_hash": press.text_hash,
        **({"number": found.number, "text": found.text} if pii else {}),
        "erased": found.number is None,
        "checks": [{"says": check.says, "holds": check.holds} for check in found.checks],
        "holds": found.holds,
    }


def _lines(shown: dict[str, Any]) -> str:
    told = [
        f"{name:<15} {value}" for name, value in shown.items() if name not in ("checks", "holds") and value is not None
    ]
    words = {True: "yes", False: "NO", None: "cannot be told"}
    checks = [f"  {words[check['holds']]:<15} {check['says']}" for check in shown["checks"]]
    return "\n".join([*told, "", *checks, "", "the chain holds" if shown["holds"] else "THE CHAIN DOES NOT HOLD"])
