"""`handsent up`: the whole stack in the foreground, until Ctrl-C or SIGTERM."""

import asyncio
import os
import signal
import time
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import click
from kernel.settings import load

from handsent import credentials, home, leftovers, ports, stack, topics, welcome
from handsent.kafka import EmbeddedKafka
from handsent.part import Part, PartError
from handsent.parts import SERVICES, Service, service_parts
from handsent.postgres import EmbeddedPostgres
from handsent.seed import ACCOUNT, seed
from handsent.settings import (
    SERVICE_PORTS,
    StackSettings,
    inherited,
    service_environment,
    shared_ports,
)
from handsent.supervisor import Supervisor, Watched
from schemas.topics import TOPICS

EMBEDDED_PORTS = ("postgres", "kafka", "kafka_controller")


@click.command()
def up() -> None:
    """Start everything in the foreground; Ctrl-C stops it."""
    run(load(StackSettings))


def run(settings: StackSettings, services: Iterable[Service] = SERVICES) -> None:
    """Runs the stack of these settings until it is told to stop. A wrong set-up ends it with 1, in one line each."""
    os.umask(0o077)
    try:
        place = home.make(settings.handsent_home)
        home.hold(place)
        leftovers.end(place, data=place / "postgres" / "data")
        claim_ports(settings, place)
        asyncio.run(_Up(settings, place, services).run())
    except PartError as error:
        raise SystemExit("\n".join(f"handsent: {line}" for line in str(error).splitlines())) from None


def claim_ports(settings: StackSettings, place: Path) -> None:
    """Raises PartError with a line for each service port that somebody else has, and sets the embedded ones aside."""
    wanted = {name: settings.port(name) for name in SERVICE_PORTS}
    busy = [
        f"{name}: port {port} is in use by somebody else" for name, port in wanted.items() if not ports.is_free(port)
    ]
    if problems := shared_ports(settings) + busy:
        raise PartError("\n".join(problems))
    ports.reserve(place, EMBEDDED_PORTS, taken=wanted.values())


def say(line: str) -> None:
    """One line for a person. That nobody listens any more (a closed pipe) is no reason to stop."""
    with suppress(OSError):
        os.write(1, f"handsent: {line}\n".encode())


class _Up:
    def __init__(self, settings: StackSettings, place: Path, services: Iterable[Service]) -> None:
        self.home = place
        self.services = tuple(services)
        self.settings = service_environment(settings, place, credentials.load(place))
        self.supervisor = Supervisor(say, self._changed)
        self.stopped = asyncio.Event()

    async def run(self) -> None:
        began = time.monotonic()
        self._listen_to_signals()
        say(f"starting in {self.home}")
        try:
            await self._unless_stopped(self._start())
            if not self.stopped.is_set():
                say(f"ready in {time.monotonic() - began:.1f} s")
                await self._seed()
                for line in welcome.lines(self.settings):
                    say(line)
                await self._unless_stopped(self.supervisor.broken())
        finally:
            say("stopping")
            await self.supervisor.stop()
            stack.forget(self.home)
            say("stopped")

    def _listen_to_signals(self) -> None:
        # A second signal changes nothing: make passes on the one its whole group got already.
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup asked for the latter
                loop.add_signal_handler(number, self.stopped.set)

    async def _start(self) -> None:
        await self.supervisor.start(self._servers())
        await topics.create(self.settings["KAFKA_BOOTSTRAP"], TOPICS.values())
        environment = inherited() | self.settings
        await self.supervisor.start(service_parts(self.home, environment, self.services))

    async def _seed(self) -> None:
        """A first campaign to look at. A stack that runs without it is still a stack."""
        if self.services is not SERVICES:
            return
        try:
            made = await seed(*(self.settings[name] for name in ("DATABASE_URL", "TOKEN_KEY", "INTAKE_URL")))
        except (aiohttp.ClientError, asyncpg.PostgresError, OSError, TimeoutError) as error:
            say(f"the demo account's campaign could not be made: {error}")
        else:
            if made:
                say(f"the account {ACCOUNT} has a small campaign to try")

    def _servers(self) -> list[Part]:
        """The embedded servers, but for those that the settings say run elsewhere."""
        parts = []
        if "DATABASE_URL" not in self.settings:
            postgres = EmbeddedPostgres(self.home)
            self.settings["DATABASE_URL"] = postgres.url
            parts.append(postgres.part())
        if "KAFKA_BOOTSTRAP" not in self.settings:
            kafka = EmbeddedKafka(self.home)
            self.settings["KAFKA_BOOTSTRAP"] = kafka.bootstrap
            parts.append(kafka.part())
        return parts

    async def _unless_stopped(self, work: Coroutine[Any, Any, None]) -> None:
        """Until the work is done or we are told to stop."""
        task, stopped = asyncio.create_task(work), asyncio.create_task(self.stopped.wait())
        try:
            await asyncio.wait([task, stopped], return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                task.result()
        finally:
            task.cancel()
            stopped.cancel()
            await asyncio.wait([task, stopped])

    def _changed(self, watched: list[Watched]) -> None:
        stack.write(self.home, self.settings, watched)
