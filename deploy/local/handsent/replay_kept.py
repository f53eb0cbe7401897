"""What every replay command has in common: a record, kept whatever becomes of it, and words that people understand."""

import asyncio
import getpass
import json
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import asyncpg
import click
import structlog
from aiokafka.errors import KafkaError
from kernel import steps
from kernel.errors import LogLost
from projections import store_run
from projections.app_shares import WorkerLost
from projections.store_run import MovedElsewhere, Refused

from handsent.stack import Stack, current_stack

Answer = TypeVar("Answer")


def kept(
    command: str,
    arguments: dict[str, Any],
    work: Callable[[Stack], Coroutine[Any, Any, Answer]],
    outcome: Callable[[Answer], str],
) -> Answer:
    """The answer of the work, written down with who asked for it. Raises ClickException, in one line, when it fails."""
    stack = current_stack()
    steps.watch("replay", stack.settings.get("STEPS_DIR", ""))
    with _quiet(), _understood():
        return asyncio.run(_recorded(stack, command, arguments, work(stack), outcome))


async def _recorded(
    stack: Stack,
    command: str,
    arguments: dict[str, Any],
    work: Coroutine[Any, Any, Answer],
    outcome: Callable[[Answer], str],
) -> Answer:
    seq = None
    said = "broken off"
    try:
        async with store_run.session(stack.database_url) as connection:
            seq = await store_run.begin(connection, getpass.getuser(), command, json.dumps(arguments))
        answer = await work
        said = outcome(answer)
        return answer
    except (Refused, LogLost) as error:
        said = f"refused: {error}"
        raise
    except Exception as error:
        said = f"failed: {type(error).__name__}"  # its words may repeat what is in a row
        raise
    finally:
        work.close()
        if seq is not None:
            with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):  # the first error is the one to tell
                async with store_run.session(stack.database_url) as connection:
                    await store_run.end(connection, seq, said)


@contextmanager
def _understood() -> Iterator[None]:
    try:
        yield
    except* (LogLost, Refused, MovedElsewhere, WorkerLost) as errors:
        raise click.ClickException(str(_first(errors))) from None
    except* (KafkaError, TimeoutError) as errors:
        raise click.ClickException(f"Kafka does not answer as it should: {_first(errors)!r}") from None
    except* (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as errors:
        raise click.ClickException(f"the database does not answer as it should: {_first(errors)}") from None


def _first(errors: BaseExceptionGroup[Any]) -> BaseException:
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


@contextmanager
def _quiet() -> Iterator[None]:
    """What the batch loop logs is for a service's log: here the answer says it."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    try:
        yield
    finally:
        structlog.configure(**before)


def progress(line: str) -> None:
    click.echo(line, err=True)
