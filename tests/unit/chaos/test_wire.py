"""A wire notes each call from its beginning to its end, and can be cut in the middle."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from tests.chaos.wire import Door, Wire
from tests.integration.process import free_port

RID = "0f0e0d0c-0b0a-4908-8706-050403020100"
FORM = {"To": "+12025551000", "StatusCallback": f"http://127.0.0.1/status?recipient={RID}&attempt=2&mac=00"}


class Carrier:
    """Answers when it may."""

    def __init__(self) -> None:
        self.port, self.may, self.read = free_port(), asyncio.Event(), asyncio.Event()

    async def take(self, request: web.Request) -> web.Response:
        await request.read()
        self.read.set()
        await self.may.wait()
        return web.json_response({"sid": "SM1"}, status=201)


@pytest.fixture
async def carrier() -> AsyncIterator[Carrier]:
    one = Carrier()
    app = web.Application()
    app.router.add_post("/messages", one.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", one.port).start()
    yield one
    await runner.cleanup()


async def _ask(port: int) -> int:
    async with aiohttp.ClientSession() as http, http.post(f"http://127.0.0.1:{port}/messages", data=FORM) as answer:
        return answer.status


async def test_a_call_is_under_way_from_its_request_to_its_answer(carrier: Carrier) -> None:
    async with Wire("one", free_port(), carrier.port) as wire:
        asked = asyncio.create_task(_ask(wire.port))
        await carrier.read.wait()
        [call] = wire.calls
        assert (call.key, call.wire, call.ended) == ((RID, 2), "one", None)
        carrier.may.set()
        assert await asked == 201 == call.status
        assert call.ended is not None and not call.cut


async def test_a_cut_wire_loses_the_answer_and_says_so(carrier: Carrier) -> None:
    async with Wire("one", free_port(), carrier.port) as wire:
        asked = asyncio.create_task(_ask(wire.port))
        await carrier.read.wait()
        assert wire.cut() == 1
        with pytest.raises(aiohttp.ClientError):
            await asked
        [call] = wire.calls
        assert call.cut and call.status is None


async def test_a_door_leads_to_whom_it_is_told_and_nowhere_when_there_is_nobody(carrier: Carrier) -> None:
    carrier.may.set()
    behind: list[int | None] = [carrier.port, None]
    async with Door(free_port(), lambda: behind.pop(0)) as door:
        assert await _ask(door.port) == 201
        with pytest.raises(aiohttp.ClientError):
            await _ask(door.port)
