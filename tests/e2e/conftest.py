"""One stack for all stories; each file of stories has an account of its own, and a carrier in good health."""

import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Iterator

import aiohttp
import orjson
import pytest

from tests.e2e.running import Running
from tests.e2e.story import FOR_GOOD, Story


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = Running(tmp_path_factory.mktemp("a stack") / "home")
    running.start()
    try:
        yield running
        _still_so(running)
    finally:
        assert running.stop() == 0


def _still_so(running: Running) -> None:
    """Nobody was texted after their story had been told."""
    with urllib.request.urlopen(f"{running.url('CARRIER_PORT')}/simulator/ledger") as answer:
        lines = map(orjson.loads, answer.read().splitlines())
        texts = Counter(line["to"] for line in lines if line["accepted"])
    later = {account for number, (count, account) in FOR_GOOD.items() if texts[number] != count}
    assert not later, f"texted after the story's end: {later}"


@pytest.fixture(scope="module")
def tokens() -> dict[str, str]:
    return {}


@pytest.fixture
async def story(running: Running, tokens: dict[str, str], request: pytest.FixtureRequest) -> AsyncIterator[Story]:
    timeout = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as http:
        story = Story(running, request.module.__name__.rpartition("test_")[2].replace("_", " "), tokens, http)
        await story.faults()
        yield story
        await story.faults()
