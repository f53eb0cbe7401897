"""What this machine can do right now: bare HTTP requests answered by a bare server, on one core each."""

import asyncio
import multiprocessing
import time

from aiohttp import web

from tests.bench.load import Press, press_all

REQUESTS = 10_000


def _serve(ready: "multiprocessing.Queue[int]") -> None:
    async def main() -> None:
        async def answer(request: web.Request) -> web.Response:
            return web.json_response({"state": "waiting"})

        app = web.Application()
        app.router.add_post("/{path:.*}", answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        ready.put(site._server.sockets[0].getsockname()[1])  # type: ignore[union-attr]
        await asyncio.Event().wait()

    asyncio.run(main())


def bare_requests_per_s() -> float:
    """The benchmark's own hands against a server that does nothing."""
    ready: multiprocessing.Queue[int] = multiprocessing.get_context("spawn").Queue()
    server = multiprocessing.get_context("spawn").Process(target=_serve, args=(ready,), daemon=True)
    server.start()
    port = ready.get(timeout=30)
    presses = [Press("c", "r", str(n), "t") for n in range(REQUESTS)]
    began = time.monotonic()
    done = asyncio.run(press_all(port, presses, hands=64))
    took = time.monotonic() - began
    server.terminate()
    server.join()
    assert done.answered == REQUESTS
    return REQUESTS / took
