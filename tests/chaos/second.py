"""Another instance of a service, beside the one that is supervised, as a deployment has several."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from handsent import ports, stack
from handsent.part import spawn, stop
from handsent.parts import SERVICES, service_parts

from tests.chaos import processes
from tests.e2e.running import Running
from tests.e2e.story import until

START_S = 60.0


@dataclass(frozen=True)
class Instance:
    """A process of a service, and where it answers."""

    pid: int
    url: str


@asynccontextmanager
async def second(running: Running, service: str) -> AsyncIterator[tuple[Instance, Instance]]:
    """(the supervised one, the second), both ready; the second is stopped at the end. For the main thread."""
    found = stack.read(running.home)
    assert found is not None, "the stack runs"
    [known] = [one for one in SERVICES if one.name == service]
    port = ports.pick(set())
    environment = dict(os.environ) | found.settings | {known.port_setting: str(port)}
    [part] = service_parts(running.home, environment, [known])
    # A name of its own: the supervisor ends what bears the name of a part it is about to start.
    part = replace(part, name=f"{service}-2", prepare=lambda: None)
    process = spawn(part)
    try:
        url = f"http://{ports.LOCALHOST}:{port}"
        await until(lambda: asyncio.to_thread(part.ready), f"a second {service} starts", START_S)
        [first] = processes.of(running.home, service)
        yield Instance(first, running.url(known.port_setting)), Instance(process.pid, url)
    finally:
        await asyncio.to_thread(stop, part, process)
