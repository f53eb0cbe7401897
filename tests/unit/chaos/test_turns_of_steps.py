"""The steps of each round: every one comes before any comes again, whatever the rounds are."""

from collections import Counter

from tests.chaos.armed import DISPATCHER
from tests.chaos.lashes import by_turns


def test_every_step_comes_before_any_comes_again() -> None:
    dealt = [step for number in range(1, len(DISPATCHER) + 1) for step in by_turns(7, number, 5)[::-1]]
    for first in range(0, len(dealt), len(DISPATCHER)):
        assert Counter(dealt[first : first + len(DISPATCHER)]) == Counter(DISPATCHER)


def test_a_round_has_the_same_steps_when_it_is_played_alone() -> None:
    assert by_turns(7, 4, 11) == by_turns(7, 4, 11) != by_turns(8, 4, 11)
