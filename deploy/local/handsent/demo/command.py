"""`handsent demo [CSV]`: starts a stack unless one runs, plays, checks, stops what it started, and says how it went."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import click
from kernel.settings import load

from handsent import ports, stack
from handsent.demo.client import DemoFailed
from handsent.demo.story import Story, four_campaigns, one_campaign
from handsent.settings import SERVICE_PORTS, StackSettings

START_S = 120
STOP_S = 60


@click.command()
@click.argument("csv", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--recipients", default=10_000, show_default=True, help="How many the demo's own list has.")
def demo(csv: Path | None, recipients: int) -> None:
    """Do the main job without a browser and check it against the carrier's ledger."""
    began = time.monotonic()
    with _running_stack() as running:
        problems, polls = asyncio.run(_play(running, csv.read_bytes() if csv else None, recipients))
    for problem in problems[:20]:
        click.echo(f"demo: WRONG: {problem}")
    if problems:
        raise SystemExit(1)
    click.echo(f"demo: {polls} answers of Progress, every one added up; the carrier's ledger holds each text once")
    click.echo(f"demo: finished in {time.monotonic() - began:.0f} s, all as it should be")


async def _play(running: stack.Stack, csv: bytes | None, recipients: int) -> tuple[list[str], int]:
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    folder = running.home / "demo" / stamp
    folder.mkdir(parents=True)
    urls = running.urls
    timeout = aiohttp.ClientTimeout(total=300)
    async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=100)) as session:
        story = Story(
            urls["INTAKE_URL"],
            urls["CARRIER_URL"],
            folder,
            f"demo-{stamp}",
            _say,
            session,
        )
        try:
            await (four_campaigns(story, recipients) if csv is None else one_campaign(story, csv))
        except DemoFailed as failed:
            story.problems.append(str(failed))
    return story.problems, story.polls


def _say(line: str) -> None:
    click.echo(f"demo: {line}")


@contextmanager
def _running_stack() -> Iterator[stack.Stack]:
    """The stack that runs in HANDSENT_HOME, or one of our own that is stopped afterwards."""
    settings = load(StackSettings)
    home = settings.handsent_home.expanduser().resolve()
    if (running := stack.read(home)) is not None:
        yield running
        return
    environment = {**os.environ, **_free_ports(settings)}
    process = subprocess.Popen([sys.executable, "-m", "handsent", "up"], env=environment, start_new_session=True)
    try:
        yield _when_ready(process, home)
    finally:
        process.terminate()
        process.wait(STOP_S)


def _free_ports(settings: StackSettings) -> dict[str, str]:
    """Another port for each that somebody else has, unless it was asked for by name."""
    busy = [n for n in SERVICE_PORTS if n not in os.environ and not ports.is_free(settings.port(n))]
    taken = {settings.port(name) for name in SERVICE_PORTS}
    found: dict[str, str] = {}
    for name in busy:
        port = ports.pick(taken)
        taken.add(port)
        found[name] = str(port)
    return found


def _when_ready(process: subprocess.Popen[bytes], home: Path) -> stack.Stack:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        running = stack.read(home)
        if running is not None and _serves(running):
            return running
        time.sleep(0.1)
    raise SystemExit("demo: the stack did not start; its logs are in " + str(home / "logs"))


def _serves(running: stack.Stack) -> bool:
    states = {part.name: part.state for part in running.parts}
    return "projections" in states and set(states.values()) == {"running"}
