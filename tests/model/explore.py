"""All interleavings, breadth first, so that the first violation found is a shortest one; or some at random."""

import gc
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.model import instances, intake, relay
from tests.model.invariants import unsettled, wrong, wrong_step
from tests.model.state import Budget, State, Step, T, World

Origins = dict[State, tuple[State, str] | None]


@dataclass(frozen=True)
class Explored:
    """`violation` is None, or what does not hold at the end of the interleaving."""

    states: int
    violation: str | None = None
    interleaving: tuple[str, ...] = ()


def explore(world: World) -> Explored:
    """Visits every state that can be reached, until one is wrong."""
    with _no_collector():
        return _explored(world, {world.scenario.start(): None})


def _explored(world: World, origins: Origins) -> Explored:
    layer = list(origins)
    while layer:
        following: list[State] = []
        for state in layer:
            going_on = by_itself(world, state)
            if stuck := _forgotten(state, going_on):
                return Explored(len(origins), stuck, _path(origins, state))
            for what, after in (*going_on, *from_outside(world, state)):
                new = after not in origins
                if new:
                    origins[after] = state, what
                    following.append(after)
                if violation := wrong_step(world, state, after) or (wrong(world, after) if new else None):
                    return Explored(len(origins), violation, (*_path(origins, state), what))
        layer = following
    return Explored(len(origins))


def walk(world: World, seed: int) -> Explored:
    """One interleaving at random, to its end. Some are busier with people and faults than others."""
    dice = random.Random(seed)
    patience = dice.choice((0.5, 0.7, 0.9))
    state, path = world.scenario.start(), list[str]()
    while True:
        going_on, others = by_itself(world, state), from_outside(world, state)
        if (stuck := _forgotten(state, going_on)) or not (going_on or others):
            return Explored(len(path), stuck, tuple(path))
        goes_on = going_on and (not others or dice.random() < patience)
        what, after = dice.choice(going_on if goes_on else others)
        path.append(what)
        if violation := wrong_step(world, state, after) or wrong(world, after):
            return Explored(len(path), violation, tuple(path))
        state = after


def circle(world: World) -> bool:
    """Whether what happens by itself can come back to where it was: then a message might wait for ever."""
    origins: Origins = {world.scenario.start(): None}
    _explored(world, origins)
    settled: set[State] = set()
    for first in origins:
        path = {first: iter(by_itself(world, first))} if first not in settled else {}
        while path:
            state, steps = next(reversed(path.items()))
            _, after = next(steps, ("", None))
            if after is None:
                settled.add(state)
                del path[state]
            elif after in path:
                return True
            elif after not in settled:
                path[after] = iter(by_itself(world, after))
    return False


def by_itself(world: World, state: State) -> list[Step]:
    """What happens sooner or later, whatever people do; when only waiting is left, time goes on and the clock ticks."""
    steps = [*intake.steps(world, state), *relay.steps(world, state), *instances.steps(world, state)]
    if not steps and state.budget.recoveries and not state.budget.ticks and unsettled(state):
        left = Budget(ticks=0, recoveries=state.budget.recoveries - 1)  # no more faults
        return list(relay.ticks(world, state._replace(wall=T, budget=left)))
    return steps


def from_outside(world: World, state: State) -> list[Step]:
    """What people, clocks and faults may do or leave."""
    return [
        *intake.wishes(world, state),
        *relay.wishes(world, state),
        *intake.faults(state),
        *relay.faults(world, state),
        *instances.faults(world, state),
    ]


def _forgotten(state: State, going_on: list[Step]) -> str | None:
    """Nothing goes on, no tick will come, and yet there are messages that wait."""
    if going_on or state.budget.ticks or not (left := unsettled(state)):
        return None
    return f"nothing more happens, and of recipient {min(left)} nothing became"


def _path(origins: Origins, state: State) -> tuple[str, ...]:
    path: list[str] = []
    while (origin := origins[state]) is not None:
        state, what = origin
        path.append(what)
    return tuple(reversed(path))


@contextmanager
def _no_collector() -> Iterator[None]:
    """Nothing here is cyclic, and looking for cycles among a hundred thousand states takes a third of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
