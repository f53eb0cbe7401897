"""A round of blows at the dispatchers under load, while the carrier misbehaves; and what must be true afterwards."""

import asyncio
import random
import time
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from handsent import stack

from schemas import events as e
from tests.chaos import blows, invariants, lashes, logs
from tests.chaos.armed import Armed
from tests.chaos.books import Books
from tests.chaos.crew import Crew, Places, crew
from tests.chaos.crowd import Crowd, Size
from tests.chaos.lashes import Lashes
from tests.chaos.logs import Entry
from tests.chaos.patience import PatientStory
from tests.chaos.providers import Provider
from tests.chaos.rounds import Told, generator, well
from tests.chaos.wire import Call, Key
from tests.chaos.witness import Heard, Struck, Unknown, hear
from tests.chaos.work import Work
from tests.e2e.running import Running
from tests.e2e.story import until

SETTLE_S = 120.0
WATCH_S = 0.2
TOPICS = ("dispatches", "receipts")
RESOLVES = (e.MessageAccepted, e.MessageRejected, e.SendNotAccepted, e.MessageDelivered, e.MessageNotDelivered)


@dataclass(frozen=True)
class Scale:
    """How many kills there are in all, and in a round."""

    kills: int = 300
    a_round: int = 20
    steps_a_round: int = 11
    size: Size = field(default_factory=Size)


@dataclass
class Sum:
    """What all rounds came to."""

    kills: Counter[str] = field(default_factory=Counter)
    at_steps: Counter[str] = field(default_factory=Counter)
    why: Counter[str] = field(default_factory=Counter)
    unknown: int = 0
    resolved: int = 0
    frozen: int = 0
    stops: int = 0
    pressed: int = 0
    most_at_once: int = 0


@dataclass
class Dispatching:
    """Rounds on one stack; each is a story of its own."""

    running: Running
    armed: Armed
    crew: Crew
    provider: Provider
    books: Books
    scale: Scale
    seed: int
    sum: Sum = field(default_factory=Sum)
    read_to: dict[tuple[str, int], int] = field(default_factory=dict)

    async def play(self, story: PatientStory, number: int, kills: int) -> Told:
        """One round; its problems are empty when all is as it must be."""
        began, rng = time.monotonic(), generator(self.seed, number)
        faults = self.provider.faults(rng)
        await story.faults(**faults)
        found = stack.read(self.running.home)
        assert found is not None, "the stack runs"
        crowd = Crowd(story, rng, self.scale.size, found.database_url)
        steps = lashes.by_turns(self.seed, number, self.scale.steps_a_round)
        lash = Lashes(self.crew, self.armed, rng, steps, freezes=number % 2 == 1)
        problems: list[str] = []
        heard, blown_s = Heard(), 0.0
        watching = asyncio.create_task(_watch(story, crowd))
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(crowd.run())
                group.create_task(_until_over(lash, crowd, kills))
            blown_s = time.monotonic() - began
            await story.faults()
            for work in crowd.all:
                await self._settle(story, work)
                problems += await self._judge(story, work)
            problems += await self._after_stop(crowd)
            heard = await self._hear(crowd, lash.struck)
            problems += heard.problems
            await well(story)
        except* AssertionError as failed:
            problems += [str(error) for error in _leaves(failed)]
        finally:
            watching.cancel()
            [watched] = await asyncio.gather(watching, return_exceptions=True)
        if not isinstance(watched, asyncio.CancelledError):
            problems.append(f"while Progress was watched: {watched!r}")
        if problems:
            problems.append(f"with these faults: {faults}; these blows: {[b.what for b in lash.struck]}")
        self._add(lash, crowd, heard)
        told = f"{_counted(lash.kills)}; {crowd.pressed} SENT; unknown: {_counted(heard.why) or 'none'}"
        never = f"; not reached: {lash.never}" if lash.never else ""
        froze = ", a dispatcher frozen" if lash.frozen else ""
        took = f"{time.monotonic() - began:.0f} s, {blown_s:.0f} of them under blows"
        line = f"{told}{froze}{never}; Progress asked {story.polls} times; {took}"
        return Told(f"round {number}", problems, line)

    def _add(self, lash: Lashes, crowd: Crowd, heard: Heard) -> None:
        self.sum.kills += lash.kills
        self.sum.at_steps += lash.at_steps
        self.sum.why += heard.why
        self.sum.frozen += lash.frozen
        self.sum.stops += len(crowd.attempts_then)
        self.sum.pressed += crowd.pressed
        self.sum.most_at_once = max(self.sum.most_at_once, heard.most_at_once)

    async def _settle(self, story: PatientStory, work: Work) -> None:
        """Nothing waits; of whom the carrier took and will tell, it is known what became of them."""
        last: dict[str, object] = {}

        async def settled() -> bool:
            progress = await story.progress(work.campaign)
            last.update(progress)
            if progress["processed"] != len(work.due) or progress["waiting"]:
                return False
            silent = self.books.silent(work.due)
            awaiting = await story.in_state(work.campaign.id, "awaiting") if progress["awaiting"] else []
            unknown = await story.in_state(work.campaign.id, "unknown") if progress["unknown"] else []
            taken = {line["to"] for line in self.books.of(unknown) if line["accepted"]}
            last["unknown, but taken"], last["awaited, not silent"] = taken - silent, set(awaiting) - silent
            return not taken - silent and not set(awaiting) - silent

        await until(settled, lambda: f"{work.title}: does not settle: {last}", SETTLE_S)

    async def _judge(self, story: PatientStory, work: Work) -> list[str]:
        rows = {row["phone"]: row for row in await story.report(work.campaign)}
        progress = await story.progress(work.campaign)
        lines, answers = self.books.of(work.numbers), self.books.answers(work.numbers)
        problems = invariants.wrong(work, progress, rows, lines, self.books.silent(work.numbers))
        problems += invariants.answers_wrong(work, answers)
        return problems + [f"{work.title}: {problem}" for problem in self.provider.wrong(lines + answers)]

    async def _after_stop(self, crowd: Crowd) -> list[str]:
        """An opt-out that was answered is seen by every intent committed later: there is none."""
        now = await crowd.attempts_now()
        later = {rid: (then, now[rid]) for rid, then in crowd.attempts_then.items() if now[rid] > then}
        return [f"attempts were committed after STOP had been answered: {later}"] if later else []

    async def _hear(self, crowd: Crowd, struck: list[Struck]) -> Heard:
        """Whether each unknown has its witness; and those that the carrier told of later are known."""
        log = await self._log()
        people = {work.campaign.rid(number) for work in crowd.all for number in work.due}
        unknowns = unknown_of(log, people)
        calls: defaultdict[Key, list[Call]] = defaultdict(list)
        for call in self.crew.calls:
            calls[call.key].append(call)
        self.sum.unknown += len(unknowns)
        self.sum.resolved += sum(unknown.again for unknown in unknowns)
        heard = hear(unknowns, calls, struck, blows.CONNECTIONS)
        heard.problems += self.provider.unknown(unknowns, crowd.attempts_then)
        return heard

    async def _log(self) -> list[Entry]:
        status = await asyncio.to_thread(self.running.status)
        log = await logs.read(status["kafka_bootstrap"], TOPICS, self.read_to)
        for entry in log:
            place = (entry.topic, entry.partition)
            self.read_to[place] = max(self.read_to.get(place, 0), entry.offset + 1)
        return log

    def line(self) -> str:
        """All of it, for a person."""
        total = self.sum
        steps = ", ".join(f"{step} {count}" for step, count in sorted(total.at_steps.items()))
        return (
            f"{total.kills.total()} kills ({_counted(total.kills)}), {total.frozen} freezes; at {len(total.at_steps)}"
            f" named steps: {steps}; {total.pressed} SENT, {total.stops} STOPs raced; {total.unknown} unknown"
            f" ({_counted(total.why)}), at most {total.most_at_once} by one blow, {total.resolved} of them known later"
        )


def unknown_of(log: Iterable[Entry], people: set[str]) -> list[Unknown]:
    """Every outcome of these people's attempts that was unknown, with whether it was known later."""
    unknown, known = dict[tuple[str, int], str](), set[tuple[str, int]]()
    for entry in log:
        event: Any = entry.event
        if getattr(event, "recipient_id", None) not in people:
            continue
        if isinstance(event, e.MessageUnresolved):
            unknown[event.recipient_id, event.attempt] = event.reason
        elif isinstance(event, RESOLVES):
            known.add((event.recipient_id, event.attempt))
    return [Unknown(key, reason, key in known) for key, reason in unknown.items()]


async def play(
    story: Callable[[], PatientStory], running: Running, armed: Armed, places: Places, provider: Provider, seed: int,
    scale: Scale | None = None, only: int | None = None,
) -> AsyncGenerator[Told, None]:  # fmt: skip
    """Round after round until there were enough kills, then what they came to."""
    scale = scale or Scale()
    async with crew(running, places, provider) as members:
        all_rounds = Dispatching(running, armed, members, provider, Books(running.home), scale, seed)
        number = only or 1
        while all_rounds.sum.kills.total() < scale.kills:
            left = scale.kills - all_rounds.sum.kills.total()
            yield await all_rounds.play(story(), number, min(scale.a_round, left))
            number += 1
            if only:
                break
        yield Told("all rounds", [], all_rounds.line())


async def _until_over(lash: Lashes, crowd: Crowd, kills: int) -> None:
    try:
        await lash.run(kills)
    finally:
        crowd.over.set()


async def _watch(story: PatientStory, crowd: Crowd) -> None:
    """Every answer of Progress adds up (`progress` asserts it), whatever happens."""
    choose = random.Random(0)
    while True:
        if crowd.all:
            await story.progress(choose.choice(crowd.all).campaign)
        await asyncio.sleep(WATCH_S)


def _counted(counter: Counter[str]) -> str:
    return ", ".join(f"{count} {what}" for what, count in counter.most_common())


def _leaves(group: BaseExceptionGroup[AssertionError]) -> list[AssertionError]:
    found: list[AssertionError] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found
