"""`python -m tests.model [--without SAFEGUARD]`: how many states were explored, and what goes wrong without it."""

import argparse
import sys
import time

from tests.model.explore import Explored, explore, walk
from tests.model.safeguards import ASSUMED, SPARE, Safeguard
from tests.model.scenarios import ALL, LARGE, MISSED_IN
from tests.model.state import World

WALKS = 200


def main(arguments: list[str] | None = None) -> int:
    asked = _parser().parse_args(arguments)
    if asked.without is None:
        return _with_all()
    return _without(next(safeguard for safeguard in Safeguard if safeguard.spelled == asked.without))


def _with_all() -> int:
    began, found = time.monotonic(), []
    for scenario in ALL:
        explored = explore(World(scenario))
        say(f"{explored.states:8}  states: {scenario.name}")
        found.append(explored)
    walks = [walk(World(LARGE), seed) for seed in range(WALKS)]
    say(f"{sum(w.states for w in walks):8}  steps of {WALKS} walks: {LARGE.name}")
    wrong = [explored for explored in (*found, *walks) if explored.violation]
    for explored in wrong:
        say(*told(explored))
    total = sum(explored.states for explored in found)
    say(f"{total:8}  states in {time.monotonic() - began:.0f} s; {len(wrong)} times something was wrong")
    return 1 if wrong else 0


def _without(safeguard: Safeguard) -> int:
    scenario = MISSED_IN[safeguard]
    explored = explore(World(scenario, frozenset({safeguard})))
    say(f"Without: {safeguard}. Scenario: {scenario.name}. States: {explored.states}.")
    if explored.violation:
        say(*told(explored))
    else:
        say("Nothing is wrong.", SPARE.get(safeguard, ""))
    if safeguard in ASSUMED:
        say(ASSUMED[safeguard])
    return 0


def told(explored: Explored) -> list[str]:
    """The interleaving, a line for each step, and what it comes to."""
    return [*(f"{n:4}  {what}" for n, what in enumerate(explored.interleaving, 1)), f"WRONG {explored.violation}"]


def say(*lines: str) -> None:
    print(*lines, sep="\n", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    parser.add_argument("--without", metavar="SAFEGUARD", choices=[safeguard.spelled for safeguard in Safeguard])
    parser.epilog = "Safeguards: " + ", ".join(safeguard.spelled for safeguard in Safeguard)
    return parser


if __name__ == "__main__":
    sys.exit(main())
