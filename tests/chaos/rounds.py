"""A round: work under load, a blow in the middle of it, and what must be true afterwards."""

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta

from tests.chaos import blows, invariants
from tests.chaos.blows import Blow
from tests.chaos.invariants import Rows
from tests.chaos.patience import PatientStory
from tests.chaos.work import Size, Work, Works
from tests.e2e.story import until, until_passed

SETTLE_S = 120.0
WELL_S = 30.0


@dataclass(frozen=True)
class Told:
    """What a round came to."""

    blow: str
    problems: list[str]
    line: str


async def play(story: PatientStory, blow: Blow, rng: random.Random, size: Size | None = None) -> Told:
    """One round; its problems are empty when all is as it must be."""
    began = time.monotonic()
    works = Works(story, rng, size or Size())
    await works.prepare()
    faults = blows.faults(rng)
    await story.faults(**faults)
    problems: list[str] = []
    came_to: Counter[str] = Counter()
    watching = asyncio.create_task(_watch(story, works))
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(works.run())
            group.create_task(_strike(story, works, blow, rng))
        await story.faults()
        for work in works.all:
            await _settle(story, work)
            rows = {row["phone"]: row for row in await story.report(work.campaign)}
            problems += await _judge(story, work, rows)
            came_to.update(row["state"] for row in rows.values())
        if came_to["unknown"] > blow.loses:
            problems.append(f"{came_to['unknown']} unknown for good, {blow.loses} POSTs were in flight at most")
        await well(story)
    except* AssertionError as failed:
        problems += [str(error) for error in _leaves(failed)]
    finally:
        watching.cancel()
        [watched] = await asyncio.gather(watching, return_exceptions=True)
    if not isinstance(watched, asyncio.CancelledError):
        problems.append(f"while Progress was watched: {watched!r}")
    if problems:
        problems.append(f"with these faults: {faults}")
    counts = f"{works.pressed} SENT ({', '.join(f'{n} {state}' for state, n in sorted(came_to.items()))})"
    return Told(
        blow.name,
        problems,
        f"{blow.name}: {counts}, Progress asked {story.polls} times, {time.monotonic() - began:.0f} s",
    )


async def _strike(story: PatientStory, works: Works, blow: Blow, rng: random.Random) -> None:
    """In the middle of the presses, in the burst at T, or across T."""
    if blow.across_t:
        await until_passed(works.t - timedelta(seconds=rng.uniform(0.3, 1.5)))
    elif rng.random() < 0.5:
        share = rng.uniform(0.1, 0.8)

        async def enough() -> bool:
            return works.pressed >= share * works.wanted

        await until(enough, "the presses come to their middle")
    else:
        await until_passed(works.t + timedelta(seconds=rng.uniform(0.1, 1.2)))
    await blow.strike(story.running, rng)


async def _watch(story: PatientStory, works: Works) -> None:
    """Every answer of Progress adds up (`progress` asserts it), whatever happens."""
    while True:
        for work in works.all:
            await story.progress(work.campaign)
        await asyncio.sleep(0.2)


async def _settle(story: PatientStory, work: Work) -> None:
    """Nothing waits or is awaited, and what the carrier took is known to have been taken."""
    last: dict[str, object] = {}

    async def settled() -> bool:
        progress = await story.progress(work.campaign)
        last.update(progress)
        if progress["processed"] != len(work.due) or progress["waiting"] or progress["awaiting"]:
            return False
        unknown = await story.unknown(work.campaign.id) if progress["unknown"] else []
        taken = await story.texted(unknown) if unknown else {}
        last["unknown, but taken"] = len(taken)
        return not taken

    await until(settled, lambda: f"{work.title}: does not settle: {last}", SETTLE_S)


async def _judge(story: PatientStory, work: Work, rows: Rows) -> list[str]:
    progress = await story.progress(work.campaign)
    return invariants.wrong(work, progress, rows, await story.ledger(work.numbers))


async def well(story: PatientStory) -> None:
    """Every part runs again and nothing is stuck."""
    about: dict[str, object] = {}

    async def well() -> bool:
        about.update(await asyncio.to_thread(story.running.status))
        return bool(about["ok"])

    await until(well, lambda: f"not well: {about['parts']} {about['stuck']}", WELL_S)


def _leaves(group: BaseExceptionGroup[AssertionError]) -> list[AssertionError]:
    found: list[AssertionError] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


def generator(seed: int, number: int) -> random.Random:
    """Each round has its own, so that it can be played alone."""
    return random.Random(f"{seed}/{number}")
