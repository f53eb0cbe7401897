"""Runs a service: one event loop, its tasks side by side, stopped by SIGTERM, ended with 1 by the first that breaks."""

import asyncio
import gc
import os
import resource
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import nullcontext, suppress
from typing import Any, NoReturn

import structlog
import uvicorn
import uvloop
from starlette.types import ASGIApp

from kernel.connection import Limits, bounded, sweep
from kernel.guard import guard

log = structlog.get_logger()

STOP_PATIENCE_S = 25
LAST_PATIENCE_S = 30
SWEEP_TICKS = 10  # of uvicorn's 0.1 s


class Stop(asyncio.Event):
    """Set once the service should stop taking new work."""

    def __init__(self, owns_process: bool = False) -> None:
        super().__init__()
        self._owns_process = owns_process

    def ending(self) -> None:
        """The work is over. A process that then hangs would be alive for its supervisor and dead for its work."""
        if self._owns_process:
            timer = threading.Timer(LAST_PATIENCE_S, _give_up)
            timer.daemon = True
            timer.start()


def _give_up() -> None:
    log.error("stop_hangs", after_s=LAST_PATIENCE_S)
    _exit(1)


def _exit(code: int) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def run(main: Callable[[Stop], Awaitable[None]]) -> None:
    """Runs `main` until it returns; exit code 0, or 1 after an exception (a supervisor starts us again)."""
    code = 0
    # Never closed: that would wait for tasks and threads of Faust's that were stopped amid a start or a rebalance, and
    # some of them stay for ever.
    runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    try:
        runner.run(_until_stopped(main))
    except Exception as error:
        log.error("service_crashed", exc_info=error)
        code = 1
    _exit(code)


async def _until_stopped(main: Callable[[Stop], Awaitable[None]]) -> None:
    stop = Stop(owns_process=True)
    _allow_connections()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await main(stop)


def _allow_connections() -> None:
    """As many open files as we may have: the usual 1024 are fewer than the connections that are served."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def together(stop: Stop, *works: Coroutine[Any, Any, None]) -> None:
    """Runs the works until `stop` is set, then cancels and awaits them; the first that breaks breaks the service."""
    gc.freeze()  # what has been loaded stays: walking it again and again took an eighth of a busy service's time
    gc.set_threshold(50_000, 20, 20)
    tasks = [asyncio.create_task(work) for work in works]
    waiter = asyncio.create_task(stop.wait())
    try:
        done, _ = await asyncio.wait([*tasks, waiter], return_when=asyncio.FIRST_COMPLETED)
        for task in done - {waiter}:
            task.result()
            raise RuntimeError("a part of the service ended by itself")
    finally:
        stop.ending()
        for task in [*tasks, waiter]:
            task.cancel()
        ended, _ = await asyncio.wait([*tasks, waiter], timeout=STOP_PATIENCE_S)
        for task in ended:
            task.cancelled() or task.exception()  # looked at, or asyncio would tell of it once more


async def serve(app: ASGIApp, host: str, port: int, limits: Limits | None = None) -> None:
    """Serves HTTP until cancelled; requests under way are finished first, bounded in time."""
    config = uvicorn.Config(
        guard(app),
        host=host,
        port=port,
        http=bounded(limits or Limits()),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=3,
        backlog=2048,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve())
    try:
        await asyncio.shield(serving)
    except SystemExit as error:  # uvicorn's way to say that the port is taken
        raise OSError(f"cannot listen on {host}:{port}") from error
    except asyncio.CancelledError:
        server.should_exit = True
        await serving
        raise


class _Server(uvicorn.Server):
    """Signals are the runner's; once a second the connections are looked at."""

    def capture_signals(self) -> Any:
        return nullcontext()

    async def on_tick(self, counter: int) -> bool:
        if counter % SWEEP_TICKS == 0:
            sweep(self.server_state.connections, asyncio.get_running_loop().time())
        return await super().on_tick(counter)


async def serve_faust(app: Any) -> None:
    """Runs a Faust app until cancelled; raises what crashed it."""
    app.finalize()
    try:
        await app.start()
        await app.wait_until_stopped()
        raise app.crash_reason or RuntimeError("the Faust app stopped by itself")
    finally:
        with suppress(TimeoutError):
            async with asyncio.timeout(10):
                await app.stop()
