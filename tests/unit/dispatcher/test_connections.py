"""An answer that somebody waits for goes before what campaigns send."""

import asyncio

from dispatcher.app_connections import Connections


async def test_whoever_goes_ahead_gets_the_next_free_connection_and_campaigns_the_one_after() -> None:
    connections = Connections(2)
    connections.take(2)
    order: list[str] = []

    async def notice() -> None:
        async with connections.ahead():
            order.append("notice")
            await asyncio.sleep(0)

    notices = [asyncio.create_task(notice()) for _ in range(2)]
    await asyncio.sleep(0)
    assert connections.free == 0
    connections.give()
    assert connections.free == 0  # it is spoken for
    await asyncio.gather(*notices)
    assert order == ["notice", "notice"] and connections.free == 1
    connections.give()
    assert connections.free == 2


async def test_nobody_waits_while_one_is_free_and_who_gives_up_leaves_no_gap() -> None:
    connections = Connections(1)
    async with connections.ahead():
        waiting = asyncio.create_task(connections.ahead().__aenter__())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    assert connections.free == 1
