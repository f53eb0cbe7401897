"""`python -m tests.chaos --seed N --rounds N`: blows against a stack of its own, until something is wrong."""

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

import aiohttp

from tests.chaos import blows, processes
from tests.chaos.blows import SETTINGS
from tests.chaos.patience import PatientStory
from tests.chaos.rounds import generator, play
from tests.e2e.running import Running


def main() -> int:
    asked = _arguments()
    folder = Path(tempfile.mkdtemp(prefix="handsent chaos "))
    running = Running(folder / "home", **SETTINGS)
    began = time.monotonic()
    try:
        say(f"seed {asked.seed}, {asked.rounds} rounds; the stack is ready in {running.start():.1f} s")
        failed = asyncio.run(_rounds(running, asked))
        if not failed and (code := running.stop()):
            failed = [f"the stack ended with exit code {code}"]
    finally:
        processes.kill(processes.of(running.home))
    for problem in failed:
        say(f"WRONG: {problem}")
    if failed:
        say(f"play it again with --seed {asked.seed}; the home is kept in {running.home}")
        return 1
    shutil.rmtree(folder)
    say(f"{asked.rounds} rounds in {time.monotonic() - began:.0f} s: nobody texted twice, nobody lost")
    return 0


async def _rounds(running: Running, asked: argparse.Namespace) -> list[str]:
    tokens: dict[str, str] = {}
    order = blows.order(random.Random(asked.seed), asked.rounds)
    for number, blow in enumerate(order, 1):
        if asked.only and number != asked.only:
            continue
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
            story = PatientStory(running, "chaos", tokens, http)
            told = await play(story, blow, generator(asked.seed, number))
        say(f"round {number}: {told.line}")
        if told.problems:
            return [f"seed {asked.seed}, round {number}, {told.blow}: {problem}" for problem in told.problems]
    return []


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--only", type=int, help="play only the round of this number")
    return parser.parse_args()


def say(line: str) -> None:
    print(f"chaos: {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
