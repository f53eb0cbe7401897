"""The protocol holds in every interleaving of the scenarios, and none of its safeguards is there for nothing."""

from pathlib import Path

import pytest

from tests.model.__main__ import WALKS, main, told
from tests.model.explore import circle, explore, walk
from tests.model.safeguards import NEEDED, SPARE, Safeguard
from tests.model.scenarios import ALL, KILLED, LARGE, MISSED_IN, RELAYS
from tests.model.state import Scenario, World

SERVICES = Path(__file__).parents[2] / "services"


@pytest.mark.parametrize("scenario", ALL, ids=lambda scenario: scenario.name)
def test_no_interleaving_breaks_a_guarantee(scenario: Scenario) -> None:
    explored = explore(World(scenario))
    assert explored.violation is None, "\n".join(told(explored))
    assert explored.states > 2500


@pytest.mark.parametrize("safeguard", NEEDED, ids=lambda safeguard: safeguard.spelled)
def test_without_a_safeguard_something_goes_wrong(safeguard: Safeguard) -> None:
    explored = explore(World(MISSED_IN[safeguard], frozenset({safeguard})))
    assert explored.violation is not None
    assert all(explored.interleaving)


def test_the_cards_say_what_each_safeguard_answers() -> None:
    cards = "".join((SERVICES / unit / "README.md").read_text() for unit in ("send-intake", "scheduler"))
    assert [safeguard for safeguard in NEEDED if f"`{safeguard.spelled}`" not in cards] == []


@pytest.mark.parametrize("safeguard", SPARE, ids=lambda safeguard: safeguard.spelled)
def test_what_is_called_spare_is_missed_by_nobody(safeguard: Safeguard) -> None:
    explored = explore(World(MISSED_IN[safeguard], frozenset({safeguard})))
    assert explored.violation is None, "\n".join(told(explored))


@pytest.mark.parametrize("scenario", [RELAYS, KILLED], ids=lambda scenario: scenario.name)
def test_what_happens_by_itself_comes_to_an_end(scenario: Scenario) -> None:
    assert not circle(World(scenario))


def test_no_walk_through_a_larger_scenario_breaks_a_guarantee() -> None:
    steps = 0
    for seed in range(WALKS):
        walked = walk(World(LARGE), seed)
        assert walked.violation is None, "\n".join([f"seed {seed}", *told(walked)])
        steps += walked.states
    assert steps > 10_000


def test_a_counterexample_is_told_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--without", "end-holds-clock"]) == 0
    told_lines = capsys.readouterr().out.splitlines()
    assert told_lines[-1] == "WRONG G3: END was answered before T, and recipient 0 is texted"
    assert any(line.endswith("END 0 at T-60 commits") for line in told_lines)
