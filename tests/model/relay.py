"""The relays: elected, moving rows, publishing the clock; frozen, killed, waking up as zombies.

One row a round: larger rounds differ only in how many copies a crash leaves.
"""

from collections.abc import Iterator
from typing import Any

from tests.model.intake import clock_is_free
from tests.model.safeguards import Safeguard
from tests.model.state import NEVER, Clock, Relay, Row, Sent, State, Step, World, put, shown, spend

IDLE = Relay("leader")


def steps(world: World, state: State) -> Iterator[Step]:
    """What the relays do by themselves."""
    for index, relay in enumerate(state.relays):
        if relay.role == "candidate":
            if not world.has(Safeguard.ELECTION) or all(other.role != "leader" for other in state.relays):
                yield "a relay is elected", _with(state, index, IDLE)
            continue
        for what, after in _moves(world, state, index, relay):
            yield f"the {relay.role} {what}", after
        if relay.role == "zombie":
            yield "the zombie finds its session gone", _with(state, index, Relay())


def wishes(world: World, state: State) -> Iterator[Step]:
    """The clock may tick whenever a leader is free."""
    if state.budget.ticks:
        yield from ticks(world, spend(state, "ticks"))


def ticks(world: World, state: State) -> Iterator[Step]:
    """A leader reads the clock: lock, reading and commit in one, for nobody reads what is not committed."""
    for index, relay in enumerate(state.relays):
        if relay != IDLE:
            continue
        if not world.has(Safeguard.CLOCK_BEFORE_ROWS):
            yield "the leader sets out to publish", _with(state, index, relay._replace(clock="moving"))
        elif clock_is_free(world, state):
            what, after = _reads_clock(world, state, index, "moving")
            yield f"the leader {what}", after


def faults(world: World, state: State) -> Iterator[Step]:
    """The leader's session ends. What it has begun outside of Postgres may still be done, or not."""
    if state.budget.sessions:
        for index, relay in enumerate(state.relays):
            if relay.role == "leader":
                goes_on = _has_begun(relay) or not world.has(Safeguard.SESSION)
                left = relay._replace(role="zombie") if goes_on else Relay()
                yield "the leader loses its session", _with(spend(state, "sessions"), index, left)


def _has_begun(relay: Relay) -> bool:
    return (relay.row is not None and relay.step != "landed") or relay.clock == "moved"


def _moves(world: World, state: State, index: int, relay: Relay) -> Iterator[Step]:
    asks_postgres = relay.role == "leader" or not world.has(Safeguard.SESSION)
    if relay.row is not None:
        yield from _with_row(world, state, index, relay, relay.row, asks_postgres)
    elif relay.clock == "moved":
        yield from _publishes(world, state, index, relay, asks_postgres)
    elif not asks_postgres:
        return
    elif relay.clock == "moving":
        yield from _publishing(world, state, index, relay)
    elif state.intake.outbox:
        row = state.intake.outbox[0]
        yield f"reads {row.kind} in the outbox", _with(state, index, relay._replace(row=row, step="read"))


def _with_row(world: World, state: State, index: int, relay: Relay, row: Row, asks_postgres: bool) -> Iterator[Step]:
    """In order: has it in the log, acknowledged; deletes it. Without the safeguard the other way round."""
    order = ("landed", "deleted") if world.has(Safeguard.ACKED) else ("deleted", "landed")
    step = order[0] if relay.step == "read" else order[1]
    after = relay._replace(row=None, step="") if step == order[1] else relay._replace(step=step)
    if step == "landed":
        yield f"has {row.kind} in the log", _with(_landed(world, state, row), index, after)
    elif asks_postgres:
        yield f"deletes {row.kind}", _with(_deleted(state, row), index, after)


def _publishing(world: World, state: State, index: int, relay: Relay) -> Iterator[Step]:
    row = next((row for row in state.intake.outbox if not isinstance(row, Sent)), None)
    if row is not None and world.has(Safeguard.ROWS_MOVED):
        yield f"reads {row.kind} in the outbox", _with(state, index, relay._replace(row=row, step="read"))
    else:
        yield "finds no campaigns row left", _with(state, index, relay._replace(clock="moved"))


def _reads_clock(world: World, state: State, index: int, clock: str) -> Step:
    at = state.wall
    if world.has(Safeguard.CLOCK_FORWARD):
        at = max(at, state.intake.clock + 1)
    read = state._replace(intake=state.intake._replace(clock=at))
    return f"reads the clock: {shown(at)}", _with(read, index, state.relays[index]._replace(at=at, clock=clock))


def _publishes(world: World, state: State, index: int, relay: Relay, asks_postgres: bool) -> Iterator[Step]:
    if relay.at == NEVER:
        if asks_postgres and clock_is_free(world, state):
            yield _reads_clock(world, state, index, "moved")
        return
    if relay.offsets:
        event = Clock(relay.at, relay.offsets)
        logs = put(state.logs, world.scenario.clock, (*state.logs[world.scenario.clock], event))
        after = _with(state._replace(logs=logs), index, Relay() if relay.role == "zombie" else IDLE)
        yield f"publishes ClockAdvanced {shown(relay.at)} {_listed(relay.offsets)}", after
        return
    ends = tuple(len(log) for log in state.logs[: world.scenario.processed])
    yield f"reads the ends of campaigns: {_listed(ends)}", _with(state, index, relay._replace(offsets=ends))
    if not world.has(Safeguard.FRESH_ENDS) and any(ends):
        stale = tuple(max(0, end - 1) for end in ends)
        yield f"is told old ends of campaigns: {_listed(stale)}", _with(state, index, relay._replace(offsets=stale))


def _listed(offsets: tuple[int, ...]) -> str:
    return ", ".join(map(str, offsets))


def _landed(world: World, state: State, row: Row) -> State:
    partition = world.scenario.processed if isinstance(row, Sent) else row.campaign
    return state._replace(logs=put(state.logs, partition, (*state.logs[partition], row)))


def _deleted(state: State, row: Row) -> State:
    outbox = tuple(other for other in state.intake.outbox if other != row)
    return state._replace(intake=state.intake._replace(outbox=outbox))


def _with(state: State, index: int, relay: Relay) -> State:
    """Sorted: which of two processes is the leader makes no difference."""
    return state._replace(relays=tuple(sorted(put(state.relays, index, relay), key=_order)))


def _order(relay: Relay) -> tuple[Any, ...]:
    return relay.role, relay.step, relay.row.kind if relay.row else "", relay.clock, relay.at, relay.offsets
