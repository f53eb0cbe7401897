"""Dispatchers that are killed under load text nobody twice and lose nobody; `make chaos MODE=dispatch` does more."""

import asyncio
import random
from collections.abc import Iterator
from contextlib import aclosing

import aiohttp
import pytest

from tests.chaos import blows, crowd, dispatching, processes
from tests.chaos.armed import Armed
from tests.chaos.crew import Places
from tests.chaos.patience import PatientStory
from tests.chaos.providers import PROVIDERS
from tests.e2e.running import Running

TWILIO = PROVIDERS["twilio"]
NOBODY_FREEZES = 2  # the number of a round; a frozen process needs more than 10 s to matter
FEW = dispatching.Scale(
    kills=7, a_round=7, steps_a_round=4, size=crowd.Size(hands=2, people=(30, 60), together=(4, 12))
)


@pytest.fixture
def places() -> Places:
    return Places.free()


@pytest.fixture
def armed(tmp_path_factory: pytest.TempPathFactory) -> Armed:
    return Armed(tmp_path_factory.mktemp("steps"))


@pytest.fixture
def beaten(tmp_path_factory: pytest.TempPathFactory, armed: Armed, places: Places) -> Iterator[Running]:
    """A stack of its own, that reaches the carrier over wires which can be cut."""
    home = tmp_path_factory.mktemp("a stack on wires") / "home"
    running = Running(home, **blows.SETTINGS, **armed.setting, **places.settings(TWILIO))
    try:
        running.start()
        yield running
        assert running.stop() == 0
    finally:
        processes.kill(processes.of(running.home))


async def test_nobody_is_texted_twice_or_lost_when_dispatchers_and_wires_die(
    beaten: Running, armed: Armed, places: Places
) -> None:
    seed, tokens = random.randrange(10**6), dict[str, str]()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        rounds = dispatching.play(
            lambda: PatientStory(beaten, "slice", tokens, http), beaten, armed, places, TWILIO, seed, FEW,
            only=NOBODY_FREEZES,
        )  # fmt: skip
        async with aclosing(rounds):
            async for told in rounds:
                assert not told.problems, f"seed {seed}: {told.problems}"
    verified = await asyncio.to_thread(beaten.handsent, "replay", "verify")
    assert verified.returncode == 0, f"seed {seed}: {verified.stdout}"
