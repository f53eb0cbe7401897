"""`handsent events`: the log itself, decoded. What is personal stays closed unless --pii is given."""

import asyncio
import itertools
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager
from pathlib import Path
from typing import IO, Any
from uuid import UUID

import asyncpg
import click
import fastavro
from aiokafka.errors import KafkaError
from kernel.errors import LogLost
from kernel.seal import Tampered
from kernel.vault import WrongVaultKey

from handsent import csv_view, log_reader, log_view
from handsent.audit import campaign_log
from handsent.log_view import Seen
from handsent.opening import opened, vault_of
from handsent.stack import Stack, current_stack
from schemas.topics import TOPICS

AVRO_BLOCK = 5000  # records in memory at a time

pii_option = click.option("--pii", is_flag=True, help="Shows numbers and texts of people; needs the vault.")
Opens = Callable[[list[Seen]], Awaitable[list[Seen]]]
Topics = click.Choice(list(TOPICS))


def _campaign(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    try:
        return None if value is None else str(UUID(value))
    except ValueError:
        raise click.BadParameter("a campaign's id is a UUID") from None


@click.group()
def events() -> None:
    """The log: every event, where it lies and what it says."""


@events.command()
@click.argument("topics", nargs=-1, type=Topics)
@click.option("--from", "start", type=click.Choice(["beginning", "end"]), default="end", show_default=True)
@click.option("--campaign", callback=_campaign, help="Only events of this campaign.")
@click.option("--limit", type=click.IntRange(min=1), help="Ends after so many.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@pii_option
def tail(
    topics: tuple[str, ...], start: str, campaign: str | None, limit: int | None, as_json: bool, pii: bool
) -> None:
    """Print the events of the TOPICs (all of them) as they arrive, until Ctrl-C."""
    show, stack = log_view.as_json if as_json else log_view.as_line, current_stack()
    records = log_reader.tail(stack.kafka_bootstrap, topics or TOPICS, start == "beginning")
    _run(_tail(records, campaign, limit, lambda record: click.echo(show(record, pii)), stack if pii else None))


async def _tail(
    records: AsyncIterator[Seen],
    campaign: str | None,
    limit: int | None,
    show: Callable[[Seen], None],
    opens: Stack | None,
) -> None:
    left = itertools.count() if limit is None else iter(range(limit))
    next(left)
    async with _opening(opens) as opened, aclosing(records):  # type: ignore[type-var]
        async for record in records:
            if log_view.is_of(record, campaign):
                show((await opened([record]))[0])
                if next(left, None) is None:
                    return


@asynccontextmanager
async def _opening(stack: Stack | None) -> AsyncIterator[Opens]:
    """What opens records with the vault of this stack; without one they stay as they are."""
    if stack is None:
        yield _as_they_are
        return
    async with AsyncExitStack() as until_done:
        with _of_the_vault():
            vault = await until_done.enter_async_context(vault_of(stack))

        async def opens(records: list[Seen]) -> list[Seen]:
            with _of_the_vault():
                return await opened(vault, records)

        yield opens


@contextmanager
def _of_the_vault() -> Iterator[None]:
    try:
        yield
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, Tampered, WrongVaultKey) as error:
        raise click.ClickException(f"the vault does not open: {error}") from None


async def _as_they_are(records: list[Seen]) -> list[Seen]:
    return records


@events.command()
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
@click.option("--topic", "topics", multiple=True, type=Topics, help="May be repeated; all of them if not given.")
@click.option("--format", "form", type=click.Choice(["avro", "json", "csv"]), default="json", show_default=True)
@click.option("--campaign", callback=_campaign, help="Only its events, and the opt-outs and erasures of its persons.")
@pii_option
def export(file: Path, topics: tuple[str, ...], form: str, campaign: str | None, pii: bool) -> None:
    """Write what the log holds now to FILE: JSON lines, an Avro object container, or CSV. Exit code 1: not all of it
    could be decoded; what could not is in the file as such."""
    wanted = topics or tuple(TOPICS)
    stack = current_stack()
    bootstrap = stack.kafka_bootstrap
    records = (
        log_reader.whole(bootstrap, wanted) if campaign is None else campaign_log.whole(bootstrap, campaign, wanted)
    )
    with _replacing(file) as out:
        write = _writer(form, out, wanted, pii)
        count, unreadable = _run(_export(records, write, stack if pii else None))
        if count == 0 and campaign is not None:
            raise click.ClickException(f"the log has nothing of a campaign {campaign}")
    click.echo(f"{count} events, {unreadable} of them undecodable", err=True)
    sys.exit(1 if unreadable else 0)


async def _export(
    records: AsyncIterator[Seen], write: Callable[[list[Seen]], None], opens: Stack | None
) -> tuple[int, int]:
    block: list[Seen] = []
    count = unreadable = 0
    async with _opening(opens) as opened:
        async for record in records:
            if record.event is None:
                click.echo(f"undecodable: {record.topic}-{record.partition}@{record.offset}: {record.error}", err=True)
                unreadable += 1
            block.append(record)
            count += 1
            if len(block) == AVRO_BLOCK:
                write(await opened(block))
                block = []
        write(await opened(block))
    return count, unreadable


def _writer(form: str, out: IO[bytes], topics: tuple[str, ...], pii: bool) -> Callable[[list[Seen]], None]:
    if form == "avro":
        return _avro_writer(out, topics, pii)
    return _json_writer(out, pii) if form == "json" else _csv_writer(out, topics, pii)


def _csv_writer(out: IO[bytes], topics: tuple[str, ...], pii: bool) -> Callable[[list[Seen]], None]:
    sheet = csv_view.Sheet(topics)
    out.write(sheet.header())
    return lambda block: out.writelines([sheet.lines(block, pii)])


def _json_writer(out: IO[bytes], pii: bool) -> Callable[[list[Seen]], None]:
    return lambda block: out.writelines(f"{log_view.as_json(record, pii)}\n".encode() for record in block)


def _avro_writer(out: IO[bytes], topics: tuple[str, ...], pii: bool) -> Callable[[list[Seen]], None]:
    types = tuple(event for topic in dict.fromkeys(topics) for event in TOPICS[topic].events)
    writer = fastavro.write.Writer(out, fastavro.parse_schema(log_view.avro_schema(types)), codec="deflate")

    def write(block: list[Seen]) -> None:
        for record in block:
            writer.write(log_view.as_avro(record, pii))
        writer.flush()

    return write


@contextmanager
def _replacing(file: Path) -> Iterator[IO[bytes]]:
    """The file appears under its name only when it is whole."""
    if str(file) == "-":
        yield sys.stdout.buffer
        return
    part = file.with_name(file.name + ".part")
    try:
        with part.open("wb") as out:
            yield out
        part.replace(file)
    except OSError as error:
        raise click.ClickException(f"{file}: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)


def _run(work: Coroutine[Any, Any, Any]) -> Any:
    try:
        return asyncio.run(work)
    except KeyboardInterrupt:
        return None
    except (KafkaError, ConnectionError, TimeoutError, LogLost) as error:
        raise click.ClickException(f"Kafka does not answer as it should: {error!r}") from None
