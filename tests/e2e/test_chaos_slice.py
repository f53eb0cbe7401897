"""A stack that is beaten and one that is stopped both go on where they were. `make chaos` does far more of it."""

import random
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest

from tests.chaos import across, blows, folds, processes, races, steps
from tests.chaos.armed import STEPS, Armed
from tests.chaos.patience import PatientStory
from tests.chaos.rounds import generator, play
from tests.chaos.work import Size
from tests.e2e.running import Running

FEW_KILLS = folds.Size(kills=2, hands=2, people=(10, 30), enough=50)
SMALL = Size(unscheduled=90, scheduled=60, ended=30, lead_s=3.0)
FEW_RACES = races.Size(campaigns=30, wave=15, lanes=2, hands=3, lead_s=4.0, spread_s=1.5, pause_s=(4.0, 7.0))
SHORT_SCENE = across.Size(campaigns=12, long_s=6.0, lead_s=5.0)


@pytest.fixture(scope="module")
def armed(tmp_path_factory: pytest.TempPathFactory) -> Armed:
    return Armed(tmp_path_factory.mktemp("steps"))


@pytest.fixture(scope="module")
def beaten(tmp_path_factory: pytest.TempPathFactory, armed: Armed) -> Iterator[Running]:
    """A stack of its own: what is done to it would spoil the other stories."""
    running = Running(tmp_path_factory.mktemp("a beaten stack") / "home", **blows.SETTINGS, **armed.setting)
    try:
        running.start()
        yield running
        assert running.stop() == 0
    finally:
        processes.kill(processes.of(running.home))


@pytest.fixture
async def story(beaten: Running, tokens: dict[str, str]) -> AsyncIterator[PatientStory]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        yield PatientStory(beaten, "slice", tokens, http)


async def test_nobody_is_texted_twice_and_nobody_is_lost_when_parts_are_killed(story: PatientStory) -> None:
    seed = random.randrange(10**6)
    for number, blow in enumerate([blows.EVERYTHING, *random.Random(seed).sample(blows.SINGLE, 3)], 1):
        told = await play(story, blow, generator(seed, number), SMALL)
        assert not told.problems, f"seed {seed}, round {number}, {told.blow}: {told.problems}"


async def test_an_end_beats_t_or_does_not_whoever_is_killed(story: PatientStory) -> None:
    seed = random.randrange(10**6)
    told = await races.play(story, seed, FEW_RACES)
    assert not told.problems, f"seed {seed}: {told}"


async def test_what_is_away_at_t_makes_it_late_and_never_wrong(story: PatientStory, armed: Armed) -> None:
    seed = random.randrange(10**6)
    scene = random.Random(seed).choice(across.SCENES)
    told = await across.play(story, armed, scene, generator(seed, 1), SHORT_SCENE)
    assert not told.problems, f"seed {seed}: {told}"


async def test_a_kill_at_a_named_step_leaves_one_outcome_for_each_send(story: PatientStory, armed: Armed) -> None:
    seed = random.randrange(10**6)
    chosen = [f"{service}.{step}" for service in STEPS for step in random.Random(seed).sample(STEPS[service], 2)]
    told = await steps.play(story, armed, seed, steps=chosen)
    assert not told.problems, f"seed {seed}: {told}"


async def test_figures_are_what_the_log_says_though_projections_is_killed(story: PatientStory, armed: Armed) -> None:
    seed = random.randrange(10**6)
    told = await folds.play(story, armed, seed, FEW_KILLS)
    assert not told.problems, f"seed {seed}: {told.problems}"


async def test_a_stop_and_a_start_go_on_where_it_was(story: PatientStory, beaten: Running) -> None:
    held, people = story.numbers(3), story.numbers(3)
    later = await story.campaign(held, scheduled_for=datetime.now(UTC) + timedelta(hours=1))
    now = await story.campaign(people)
    sam, sue = await story.sending("Sam", later), await story.sending("Sue", now)
    first = (await sam.sends(later, held[0])).body
    await sue.sends(now, people[0])
    await story.settles(now, delivered=1, unprocessed=2)
    told = await story.report(now)

    assert beaten.stop() == 0
    assert processes.of(beaten.home) == [], "nothing is left running"
    beaten.start()

    assert await story.report(now) == told
    assert (await sam.sends(later, held[0])).body == first
    assert (await sam.sends(later, held[1])).status == (await sue.sends(now, people[1])).status == 200
    assert (await (await story.manager()).ends(later)).status == 200
    await story.settles(now, delivered=2, unprocessed=1)
    await story.settles(later, dropped=2, unprocessed=1)
    assert await story.texted([*people, *held]) == dict.fromkeys(people[:2], 1)


async def test_after_all_that_every_table_of_every_service_is_what_the_log_says(beaten: Running) -> None:
    found = beaten.handsent("replay", "verify")
    assert (found.returncode, "the tables are what the log says" in found.stdout) == (0, True), found.stdout
