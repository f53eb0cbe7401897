"""`python -m tests.chaos [rounds|races|across|steps|folds|dispatch …] --seed N`: blows against stacks of its own, until
something is wrong. With no mode named it plays all six."""

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path

import aiohttp

from tests.chaos import across, blows, dispatching, folds, processes, races, rounds, steps
from tests.chaos.armed import Armed
from tests.chaos.crew import Places
from tests.chaos.patience import PatientStory
from tests.chaos.providers import PROVIDERS
from tests.chaos.rounds import Told, generator
from tests.e2e.running import Running

MOST_TOLD = 20  # a fault of the log is one of thousands of people
VERIFY_S = 900.0  # tens of thousands of lives, on a machine that has other work


class Play:
    """One mode on one stack; each part of it is a story of its own."""

    def __init__(
        self, asked: argparse.Namespace, running: Running, armed: Armed, places: Places, http: aiohttp.ClientSession
    ) -> None:
        self.asked, self.running, self.armed, self.places, self.http = asked, running, armed, places, http
        self._tokens: dict[str, str] = {}

    def story(self) -> PatientStory:
        return PatientStory(self.running, "chaos", self._tokens, self.http)

    async def rounds(self) -> AsyncGenerator[Told, None]:
        """The main job under one blow after the other."""
        for number, blow in enumerate(blows.order(random.Random(self.asked.seed), self.asked.rounds), 1):
            if self.asked.only in (None, number):
                yield await rounds.play(self.story(), blow, generator(self.asked.seed, number))

    async def races(self) -> AsyncGenerator[Told, None]:
        """ENDs within 50 ms of T."""
        yield await races.play(self.story(), self.asked.seed, races.Size(campaigns=self.asked.campaigns))

    async def across(self) -> AsyncGenerator[Told, None]:
        """Something is away when it is time."""
        for number, scene in enumerate(across.SCENES, 1):
            if self.asked.only in (None, number):
                yield await across.play(self.story(), self.armed, scene, generator(self.asked.seed, number))

    async def steps(self) -> AsyncGenerator[Told, None]:
        """kill -9 at each named step."""
        yield await steps.play(self.story(), self.armed, self.asked.seed, steps.Size(kills=self.asked.kills))

    async def folds(self) -> AsyncGenerator[Told, None]:
        """kill -9 of projections."""
        yield await folds.play(self.story(), self.armed, self.asked.seed, folds.Size(kills=self.asked.folds))

    async def dispatch(self) -> AsyncGenerator[Told, None]:
        """kill -9 of dispatchers, Postgres, Kafka and the carrier's connections."""
        provider, scale = PROVIDERS[self.asked.provider], dispatching.Scale(kills=self.asked.kills)
        rounds = dispatching.play(
            self.story, self.running, self.armed, self.places, provider, self.asked.seed, scale, self.asked.only
        )
        async with aclosing(rounds):
            async for told in rounds:
                yield told


MODES: dict[str, Callable[[Play], AsyncGenerator[Told, None]]] = {
    "rounds": Play.rounds,
    "races": Play.races,
    "across": Play.across,
    "steps": Play.steps,
    "folds": Play.folds,
    "dispatch": Play.dispatch,
}
SHOWN = {
    **dict.fromkeys(("rounds", "races", "across", "steps"),
                    "nobody texted twice, nobody lost, nobody after an END before T"),
    "folds": "every figure a recount of its rows, every table what the log says",
    "dispatch": "nobody texted twice, nobody lost, nobody after a STOP that was answered, no unknown without a witness",
}  # fmt: skip


def main() -> int:
    asked = _arguments()
    return 0 if all(_play(mode, asked) for mode in asked.modes or MODES) else 1


def _play(mode: str, asked: argparse.Namespace) -> bool:
    """Whether all was as it must be."""
    folder = Path(tempfile.mkdtemp(prefix="handsent chaos "))
    armed = Armed(folder / "steps")
    places = Places.free()
    own = places.settings(PROVIDERS[asked.provider]) if mode == "dispatch" else {}
    running = Running(folder / "home", **blows.SETTINGS, **armed.setting, **own)
    began = time.monotonic()
    try:
        say(f"{mode}, seed {asked.seed}; the stack is ready in {running.start():.1f} s")
        failed = asyncio.run(_until_wrong(mode, asked, running, armed, places))
        if not failed and (code := running.stop()):
            failed = [f"the stack ended with exit code {code}"]
    finally:
        processes.kill(processes.of(running.home))
    for problem in failed[:MOST_TOLD]:
        say(f"WRONG: {problem}")
    if failed:
        say(f"{len(failed)} problems in all")
        say(f"play it again with {mode} --seed {asked.seed}; the home is kept in {running.home}")
        return False
    shutil.rmtree(folder)
    say(f"{mode} in {time.monotonic() - began:.0f} s: {SHOWN[mode]}")
    return True


async def _until_wrong(
    mode: str, asked: argparse.Namespace, running: Running, armed: Armed, places: Places
) -> list[str]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        number = 0
        async with aclosing(MODES[mode](Play(asked, running, armed, places, http))) as played:
            async for told in played:
                number += 1
                say(f"{mode} {asked.only or number}: {told.line}")
                if told.problems:
                    return [f"seed {asked.seed}, {told.blow}: {problem}" for problem in told.problems]
    told_by_the_log = await asyncio.to_thread(running.handsent, "replay", "verify", within_s=VERIFY_S)
    return [] if told_by_the_log.returncode == 0 else [told_by_the_log.stdout + told_by_the_log.stderr]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("modes", nargs="*", choices=[*MODES, []], metavar="MODE", help=", ".join(MODES))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=20, help="of rounds")
    parser.add_argument("--campaigns", type=int, default=2000, help="of races: ENDs close to T")
    parser.add_argument("--kills", type=int, default=300, help="of steps, and of dispatch")
    parser.add_argument("--folds", type=int, default=100, help="of folds: kills of projections")
    parser.add_argument("--provider", choices=PROVIDERS, default="twilio", help="of dispatch")
    parser.add_argument("--only", type=int, help="play only the round, or the scene of across, of this number")
    return parser.parse_args()


def say(line: str) -> None:
    print(f"chaos: {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
