"""Keeps parts running: starts them, starts them again when they die, says so, and stops them in order."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from handsent.part import POLL_S, Part, PartError, spawn

FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 5.0
# A part that ran this long had started well: its next death is a new story.
STEADY_S = 30.0


class State(StrEnum):
    STARTING = "starting"
    RUNNING = "running"
    RESTARTING = "restarting"
    STOPPED = "stopped"


@dataclass(slots=True)
class Watched:
    """A part and what became of it so far."""

    part: Part
    state: State = State.STARTING
    process: subprocess.Popen[bytes] | None = None
    restarts: int = 0
    started_at: float = 0.0
    task: asyncio.Task[None] | None = None


class Supervisor:
    """`say` gets lines for a person, `changed` is called after every change of a state."""

    def __init__(self, say: Callable[[str], None], changed: Callable[[list[Watched]], None]) -> None:
        self._say = say
        self._changed = changed
        self.watched: list[Watched] = []

    async def start(self, parts: Iterable[Part]) -> None:
        """Starts the parts side by side; returns once all of them serve. Raises what keeps one from its first start."""
        new = [Watched(part) for part in parts]
        self.watched += new
        ready = [asyncio.Event() for _ in new]
        for one, event in zip(new, ready, strict=True):
            one.task = asyncio.create_task(self._keep(one, event))
        broken = asyncio.create_task(self.broken())
        try:
            for event in ready:
                served = asyncio.create_task(event.wait())
                await asyncio.wait([served, broken], return_when=asyncio.FIRST_COMPLETED)
                served.cancel()
                if broken.done():
                    broken.result()
        finally:
            broken.cancel()

    async def broken(self) -> None:
        """Waits for what should never happen, a part that is no longer looked after, and raises the reason."""
        tasks = [one.task for one in self.watched if one.task]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    async def stop(self) -> None:
        """Stops all parts, the highest layer first; each layer is bounded by its parts' `stop_timeout_s`."""
        while self.watched:
            highest = max(one.part.layer for one in self.watched)
            group = [one for one in self.watched if one.part.layer == highest]
            await asyncio.gather(*(self._end(one) for one in group))
            self.watched = [one for one in self.watched if one not in group]

    async def _keep(self, one: Watched, ready: asyncio.Event) -> None:
        delay = FIRST_DELAY_S
        while True:
            began = time.monotonic()
            if process := await self._started(one, ready):
                how = await self._live(one, process, ready)
                if time.monotonic() - began >= STEADY_S:
                    delay = FIRST_DELAY_S
                self._say(f"{one.part.name} {how}; starting it again in {delay:g} s (its log: {one.part.log})")
            one.restarts += 1
            self._set(one, State.RESTARTING)
            await asyncio.sleep(delay)
            delay = min(2 * delay, LONGEST_DELAY_S)

    async def _started(self, one: Watched, ready: asyncio.Event) -> subprocess.Popen[bytes] | None:
        try:
            await asyncio.to_thread(one.part.prepare)
            one.process = spawn(one.part)
        except (PartError, OSError) as error:
            if not ready.is_set():  # a wrong set-up, which no repetition cures
                raise PartError(str(error)) from error
            self._say(f"{one.part.name} cannot be started yet: {error}")
            return None
        one.started_at = time.time()
        self._set(one, one.state)
        return one.process

    async def _live(self, one: Watched, process: subprocess.Popen[bytes], ready: asyncio.Event) -> str:
        """One life of the process; returns how it ended, in words."""
        waiting = asyncio.create_task(self._until_ready(one, ready))
        try:
            await _exit_of(process)
        finally:
            waiting.cancel()
        return ending(process.wait())

    async def _until_ready(self, one: Watched, ready: asyncio.Event) -> None:
        began = time.monotonic()
        while not await asyncio.to_thread(one.part.ready):
            await asyncio.sleep(POLL_S)
        again = one.state is State.RESTARTING
        self._set(one, State.RUNNING)
        self._say(f"{one.part.name} {'runs again' if again else 'runs'} ({time.monotonic() - began:.1f} s)")
        ready.set()

    async def _end(self, one: Watched) -> None:
        if one.task is not None:
            one.task.cancel()
            await asyncio.wait([one.task])
        process = one.process
        if process is not None and process.poll() is None:
            process.send_signal(one.part.stop_signal)
            try:
                async with asyncio.timeout(one.part.stop_timeout_s):
                    await _exit_of(process)
            except TimeoutError:
                self._say(f"{one.part.name} did not stop within {one.part.stop_timeout_s:g} s; killing it")
                process.kill()
            process.wait()
        self._set(one, State.STOPPED)

    def _set(self, one: Watched, state: State) -> None:
        one.state = state
        self._changed(self.watched)


async def _exit_of(process: subprocess.Popen[bytes]) -> None:
    """Waits without polling: a pid's handle becomes readable when the process ends."""
    loop = asyncio.get_running_loop()
    over = loop.create_future()
    handle = os.pidfd_open(process.pid)
    loop.add_reader(handle, _settle, over)
    try:
        await over
    finally:
        loop.remove_reader(handle)
        os.close(handle)


def ending(code: int) -> str:
    """How a process ended, from its return code: negative for a signal, as `subprocess` has it."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def _settle(over: asyncio.Future[None]) -> None:
    if not over.done():
        over.set_result(None)
