"""`python -m simulator`: serves until SIGTERM or Ctrl-C, or until its ledger cannot be written any more."""

import asyncio
import gc
import logging
import os
import signal
import sys
from contextlib import AsyncExitStack

import uvloop
from aiohttp import web

from .api import Api
from .gateway import WORKERS, Gateway
from .settings import Settings, SettingsError, read
from .store import FolderInUse, Store

log = logging.getLogger("simulator")
GRACE_S = 0.25
"""For answers under way at SIGTERM; a caller that still waits then (2-s habits) sees its connection close.
aiohttp grants it twice, before and after it cancels them."""


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        uvloop.run(serve(read(os.environ)))
    except (SettingsError, FolderInUse, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


async def serve(settings: Settings) -> None:
    # Nearly all garbage here is freed by its reference count; with the defaults a tenth of the CPU went to looking.
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    async with AsyncExitStack() as stack:
        store = Store(settings.data)
        stack.callback(store.close)
        gateway = Gateway(store, settings.account_sid, settings.auth_token, settings.telnyx_signing_key)
        committer = asyncio.create_task(store.commit_for_ever())
        workers = [asyncio.create_task(gateway.work_for_ever()) for _ in range(WORKERS)]
        stack.push_async_callback(_cancel, [committer, *workers])
        for promise in store.owed():
            gateway.owe(promise)
        await _listen(stack, settings, Api(settings, store, gateway))
        log.info("carrier_simulator_ready port=%d", settings.port)
        await _until_stopped([committer, *workers])
    log.info("carrier_simulator_stopped")


async def _listen(stack: AsyncExitStack, settings: Settings, api: Api) -> None:
    runner = web.AppRunner(api.app(), access_log=None, shutdown_timeout=GRACE_S)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", settings.port, backlog=1024).start()


async def _until_stopped(tasks: list[asyncio.Task[None]]) -> None:
    """Returns at a signal; raises what ended a task, none of which ends by itself."""
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    stopped = asyncio.create_task(stop.wait())
    ended, _ = await asyncio.wait([stopped, *tasks], return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    for task in ended:
        task.result()


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


if __name__ == "__main__":
    sys.exit(main())
