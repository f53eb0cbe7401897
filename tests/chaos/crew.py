"""Two dispatchers, each on a wire of its own: the supervised one, and a second that is started again at once."""

import asyncio
import random
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace

from handsent import ports, stack
from handsent.part import Part, spawn, stop
from handsent.parts import SERVICES, answers, service_parts

from tests.chaos import processes
from tests.chaos.providers import Provider
from tests.chaos.wire import Call, Door, Wire
from tests.e2e.running import Running

SUPERVISED, SECOND = "dispatcher", "dispatcher-2"
LOOK_S = 0.05
READY_S = 60.0
PROBE_S = 0.5


@dataclass
class Places:
    """Ports chosen before the stack starts, for its settings name them."""

    first: int
    second: int
    door: int

    @classmethod
    def free(cls) -> "Places":
        taken: set[int] = set()
        for _ in range(3):
            taken.add(ports.pick(taken))
        return cls(*taken)

    def settings(self, provider: Provider) -> dict[str, str]:
        """Of the stack, and so of the supervised dispatcher."""
        return {provider.url_setting: _url(self.first), "PUBLIC_URL": _url(self.door), **provider.settings}


@dataclass
class Member:
    """One of the dispatchers: which process it is at the moment, and whether it works."""

    name: str
    port: int
    wire: Wire
    pid: int | None = None
    ready: bool = False
    frozen: bool = False
    lives: int = 0

    @property
    def works(self) -> bool:
        return self.pid is not None and self.ready and not self.frozen


@dataclass
class Crew:
    """Keeps the second dispatcher running and knows how both are."""

    running: Running
    members: list[Member]
    door: Door
    _part: Part
    _second: "subprocess.Popen[bytes] | None" = None
    _tasks: list["asyncio.Task[None]"] = field(default_factory=list)

    @property
    def calls(self) -> list[Call]:
        return [call for member in self.members for call in member.wire.calls]

    def member_of(self, pid: int) -> Member | None:
        """Whose process it is, or was until it died."""
        return next((member for member in self.members if member.pid == pid), None)

    def runs(self, member: Member) -> bool:
        """Whether there is a process, whatever it does."""
        return member.pid is not None and processes.lives(member.pid)

    async def some_works(self) -> list[Member]:
        """The members that work; waits until there is one."""
        deadline = time.monotonic() + READY_S
        while not (found := [member for member in self.members if member.works]):
            assert time.monotonic() < deadline, "no dispatcher has come back"
            await asyncio.sleep(LOOK_S)
        return found

    async def all_work(self) -> None:
        deadline = time.monotonic() + READY_S
        while not all(member.works for member in self.members):
            assert time.monotonic() < deadline, f"not all dispatchers are back: {self.members}"
            await asyncio.sleep(LOOK_S)

    def kill(self, member: Member) -> float:
        """kill -9; when it was."""
        assert member.pid is not None
        at = time.monotonic()
        processes.kill([member.pid])
        member.ready, member.frozen = False, False
        return at

    def freeze(self, member: Member) -> float:
        assert member.pid is not None
        member.frozen, at = True, time.monotonic()
        processes.signal_to(member.pid, signal.SIGSTOP)
        return at

    def wake(self, member: Member, pid: int) -> None:
        processes.signal_to(pid, signal.SIGCONT)
        if member.pid == pid:
            member.frozen = False

    async def keep(self) -> None:
        """Notices deaths, and starts the second one again."""
        while True:
            self._look()
            await asyncio.sleep(LOOK_S)

    def _look(self) -> None:
        first, second = self.members
        if first.pid is None or not processes.lives(first.pid):
            found = stack.read(self.running.home)
            pids = [part.pid for part in found.parts if part.name == SUPERVISED] if found else []
            _is(first, next((pid for pid in pids if pid is not None and processes.lives(pid)), None))
        if self._second is None or self._second.poll() is not None:
            # Its port may be somebody else's for a moment; it is tried again.
            self._second = spawn(self._part)
            _is(second, self._second.pid)

    async def probe(self, member: Member) -> None:
        """Whether it answers; a process that was once ready stays so until it dies."""
        while True:
            pid = member.pid
            if pid is not None and not member.ready and not member.frozen:
                ready = await asyncio.to_thread(answers, member.port, "/readyz", PROBE_S)
                member.ready = ready and member.pid == pid and processes.lives(pid)
            await asyncio.sleep(LOOK_S)

    def begin(self) -> None:
        self._tasks = [asyncio.create_task(self.keep()), *(asyncio.create_task(self.probe(m)) for m in self.members)]

    async def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        for done in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(done, Exception):
                raise done
        if self._second is not None:
            processes.signal_to(self._second.pid, signal.SIGCONT)
            await asyncio.to_thread(stop, self._part, self._second)


@asynccontextmanager
async def crew(running: Running, places: Places, provider: Provider) -> AsyncIterator[Crew]:
    """Both work when it is entered; the second one is stopped at the end. For the main thread."""
    found = stack.read(running.home)
    assert found is not None, "the stack runs"
    [known] = [one for one in SERVICES if one.name == SUPERVISED]
    port = ports.pick({places.first, places.second, places.door})
    own = {known.port_setting: str(port), provider.url_setting: _url(places.second)}
    [part] = service_parts(running.home, running.environment | found.settings | own, [known])
    # A name of its own: the supervisor ends what bears the name of a part it is about to start.
    part = replace(part, name=SECOND, prepare=lambda: None)
    carrier = int(running.settings["CARRIER_PORT"])
    async with AsyncExitStack() as opened:
        members = [
            Member(SUPERVISED, int(running.settings[known.port_setting]), Wire(SUPERVISED, places.first, carrier)),
            Member(SECOND, port, Wire(SECOND, places.second, carrier)),
        ]
        door = Door(places.door, _of_those_that_work(members))
        one = Crew(running, members, door, part)
        for end in (*(member.wire for member in members), door):
            await opened.enter_async_context(end)
        one.begin()
        try:
            await one.all_work()
            yield one
        finally:
            await one.end()


def _of_those_that_work(members: list[Member]) -> Callable[[], int | None]:
    def choose() -> int | None:
        working = [member.port for member in members if member.works]
        return random.choice(working) if working else None

    return choose


def _is(member: Member, pid: int | None) -> None:
    if pid != member.pid:
        member.pid, member.ready, member.frozen = pid, False, False
        member.lives += pid is not None


def _url(port: int) -> str:
    return f"http://{ports.LOCALHOST}:{port}"
