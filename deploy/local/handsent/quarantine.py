"""`handsent quarantine`: partitions that stand still at an event, and what an operator decides about it."""

import asyncio
import getpass
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import asyncpg
import click
from aiokafka.errors import KafkaError
from kernel import database, quarantine

from handsent import log_reader, log_view
from handsent.stack import current_stack
from schemas.topics import TOPICS

# Service -> its schema in Postgres.
SCHEMAS = {
    "send-intake": "send_intake",
    "scheduler": "scheduler",
    "dispatcher": "dispatcher",
    "projections": "projections",
}
ASIDE = "SELECT topic, partition, event_offset, reason, decided_by, decided_at FROM set_aside ORDER BY decided_at"

Answer = TypeVar("Answer")
Position = tuple[str, int]


def _reason(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    if not value.strip():
        raise click.BadParameter("say why: it is recorded")
    return value.strip()


service_argument = click.argument("service", type=click.Choice(list(SCHEMAS)))
topic_argument = click.argument("topic", type=click.Choice(list(TOPICS)))
partition_argument = click.argument("partition", type=click.IntRange(min=0))


@click.group("quarantine")
def commands() -> None:
    """Partitions that stand still at an event that cannot be read or cannot be true. Nothing is skipped by itself."""


@commands.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_(as_json: bool) -> None:
    """What stands still, and what was set aside before. Exit code 0: nothing stands still, 1: something does."""
    url = current_stack().database_url
    found = [what for service in SCHEMAS for what in _ask(url, service, _listed) or []]
    for what in found:
        click.echo(json.dumps(what, default=str) if as_json else _line(what))
    standing = [what for what in found if what["state"] == "stopped"]
    click.echo(f"{len(standing)} partitions stand still", err=True)
    sys.exit(1 if standing else 0)


@commands.command()
@service_argument
@topic_argument
@partition_argument
@click.option("--bytes", "limit", type=click.IntRange(min=1), default=64, show_default=True, help="Of the value.")
@click.option("--pii", is_flag=True, help="Shows numbers and texts of people.")
def show(service: str, topic: str, partition: int, limit: int, pii: bool) -> None:
    """The event the partition stands still at, as it lies in Kafka."""
    stack, position = current_stack(), (topic, partition)
    standing = _ask(stack.database_url, service, quarantine.listed) or []
    stopped = next((row for row in standing if (row["topic"], row["partition"]) == position), None)
    if stopped is None:
        raise _not_stopped(service, position)
    click.echo(f"{service} stands still at {topic}-{partition}@{stopped['event_offset']} since {stopped['since']}")
    click.echo(f"error      {stopped['error']}")
    try:
        record = asyncio.run(log_reader.at(stack.kafka_bootstrap, position, stopped["event_offset"]))
    except KafkaError as error:
        raise click.ClickException(f"Kafka does not answer: {error}") from None
    if record is None:
        raise click.ClickException("the log does not hold this offset")
    _show(record, limit, pii)


def _show(record: Any, limit: int, pii: bool) -> None:
    value = record.value or b""
    seen = log_view.seen(record.topic, record.partition, record.offset, record.timestamp, record.key, record.value)
    click.echo(f"appended   {seen.appended_at.isoformat()}")
    click.echo(f"key        {seen.key or '(none)'}")
    for name, content in record.headers:
        click.echo(f"header     {name}: {content.decode(errors='backslashreplace')}")
    if seen.event is not None:
        click.echo(f"event      {log_view.as_line(seen, pii)}")
    click.echo(f"value      {len(value)} bytes" + (f", the first {limit}:" if len(value) > limit else ":"))
    for line in log_view.hex_lines(value, limit):
        click.echo(f"  {line}")


@commands.command()
@service_argument
@topic_argument
@partition_argument
def retry(service: str, topic: str, partition: int) -> None:
    """Let the partition try its event again, when the cause is mended. Exit code 1: it does not stand still."""
    position = (topic, partition)
    if not _ask(current_stack().database_url, service, lambda c: quarantine.retry(c, position)):
        raise _not_stopped(service, position)
    click.echo(f"{service} tries {topic}-{partition} again within seconds", err=True)


@commands.command("set-aside")
@service_argument
@topic_argument
@partition_argument
@click.option("--reason", required=True, callback=_reason, help="Recorded, with your name.")
def set_aside(service: str, topic: str, partition: int, reason: str) -> None:
    """Pass over exactly the event the partition stands still at. Exit code 1: it does not stand still."""
    position = (topic, partition)
    offset = _ask(
        current_stack().database_url, service, lambda c: quarantine.set_aside(c, position, reason, getpass.getuser())
    )
    if offset is None:
        raise _not_stopped(service, position)
    click.echo(f"{service} passes over {topic}-{partition}@{offset}: {reason}", err=True)


async def _listed(connection: asyncpg.Connection) -> list[dict[str, Any]]:
    stopped = [{"state": "stopped", **row} for row in await quarantine.listed(connection)]
    return stopped + [{"state": "set aside", **row} for row in await connection.fetch(ASIDE)]


def _line(what: dict[str, Any]) -> str:
    place = f"{what['service']:<12} {what['topic']}-{what['partition']}@{what['event_offset']}"
    if what["state"] == "stopped":
        return f"stopped    {place} since {what['since']}: {what['error']}"
    return f"set aside  {place} by {what['decided_by']} at {what['decided_at']}: {what['reason']}"


def _ask(url: str, service: str, ask: Callable[[asyncpg.Connection], Awaitable[Answer]]) -> Answer | None:
    """The answer of a service's schema, or None while there is no such schema. Rows get the service's name."""
    try:
        return asyncio.run(_asked(url, service, ask))
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise click.ClickException(f"the database does not answer: {error}") from None


async def _asked(url: str, service: str, ask: Callable[[asyncpg.Connection], Awaitable[Answer]]) -> Answer | None:
    if not await _exists(url, SCHEMAS[service]):
        return None
    connection = await database.connect(url, SCHEMAS[service])
    try:
        answer = await ask(connection)
    finally:
        await connection.close()
    for row in answer if isinstance(answer, list) else ():
        row["service"] = service
    return answer


async def _exists(url: str, schema: str) -> bool:
    connection = await asyncpg.connect(url, timeout=10)
    try:
        return bool(await connection.fetchval("SELECT 1 FROM pg_namespace WHERE nspname = $1", schema))
    finally:
        await connection.close()


def _not_stopped(service: str, position: Position) -> click.ClickException:
    return click.ClickException(f"{service} does not stand still at {position[0]}-{position[1]}")
