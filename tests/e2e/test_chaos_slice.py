"""A short slice of `make chaos`: everything killed once, and three parts, in the middle of the work."""

import random
from collections.abc import Iterator

import aiohttp
import pytest

from tests.chaos import blows, processes
from tests.chaos.patience import PatientStory
from tests.chaos.rounds import generator, play
from tests.chaos.work import Size
from tests.e2e.running import Running

SMALL = Size(unscheduled=90, scheduled=60, ended=30, lead_s=3.0)


@pytest.fixture
def beaten(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A stack of its own: what is done to it would spoil the other stories."""
    running = Running(tmp_path_factory.mktemp("a beaten stack") / "home", **blows.SETTINGS)
    try:
        running.start()
        yield running
    finally:
        processes.kill(processes.of(running.home))


async def test_nobody_is_texted_twice_and_nobody_is_lost_when_parts_are_killed(beaten: Running) -> None:
    seed = random.randrange(10**6)
    tokens: dict[str, str] = {}
    for number, blow in enumerate([blows.EVERYTHING, *random.Random(seed).sample(blows.SINGLE, 3)], 1):
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
            told = await play(PatientStory(beaten, "slice", tokens, http), blow, generator(seed, number), SMALL)
        assert not told.problems, f"seed {seed}, round {number}, {told.blow}: {told.problems}"
    assert beaten.stop() == 0
