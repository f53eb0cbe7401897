"""The scheduler's instances: batches and releases as transactions that may be late. The rule is the real one."""

from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache

from kernel.testing import processed
from scheduler.release import Drop, End, Hold, Release, admit, decide

from tests.model import state as model
from tests.model.safeguards import Safeguard
from tests.model.state import (
    NEVER,
    Batch,
    Clock,
    Effect,
    Ended,
    Instance,
    Schedule,
    Sent,
    State,
    Step,
    T,
    World,
    put,
    shown,
    spend,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
WORDS: dict[type[Drop | Hold | Release], str] = {Drop: "dropped", Hold: "held", Release: "released"}


def steps(world: World, state: State) -> Iterator[Step]:
    """What the instances do by themselves."""
    for index, instance in enumerate(state.instances):
        name = f"instance {index + 1}"
        batch = _idle(world, state, index) if instance.batch is None else _committed(world, state, index)
        for what, after in (*batch, *_released(world, state, index)):
            yield f"{name} {what}", after


def faults(world: World, state: State) -> Iterator[Step]:
    """An instance dies and is started again, or Postgres ends what it has open; a partition moves to another one."""
    for index, instance in enumerate(state.instances):
        if state.budget.crashes:
            again = Instance(instance.owned, _positions(state, instance.owned))
            yield f"instance {index + 1} is killed", _with(spend(state, "crashes"), index, again)
        if state.budget.moves:
            for partition in sorted(instance.owned):
                for other in range(len(state.instances)):
                    if other != index:
                        yield _reassigned(world, state, partition, index, other)


def _reassigned(world: World, state: State, partition: int, index: int, other: int) -> Step:
    """The new owner asks Postgres where to continue; the old one has not heard of it yet."""
    old, new = state.instances[index], state.instances[other]
    old = old._replace(owned=old.owned - {partition})
    position = put(new.next, partition, state.schedule.offsets[partition])
    new = new._replace(owned=new.owned | {partition}, next=position)
    after = _with(_with(spend(state, "moves"), index, old), other, new)
    return f"{world.scenario.named(partition)} moves from instance {index + 1} to {other + 1}", after


def _idle(world: World, state: State, index: int) -> Iterator[Step]:
    instance = state.instances[index]
    lost = {p for p, position in enumerate(instance.next) if position is not None} - instance.owned
    for partition in sorted(lost):
        after = _with(state, index, instance._replace(next=put(instance.next, partition, None)))
        yield f"hears that {world.scenario.named(partition)} is not its own", after
    yield from _applied(world, state, index)


def _applied(world: World, state: State, index: int) -> Iterator[Step]:
    """The compare-and-set and the effect, in a transaction that is not committed yet."""
    behind = [
        (partition, position)
        for partition, position in enumerate(state.instances[index].next)
        if position is not None and position < len(state.logs[partition])
    ]
    for partition, position in behind:
        for upto in sorted({position + 1, len(state.logs[partition])}):
            yield from _begun(world, state, index, {partition: (position, upto)})
    if world.scenario.wide and len(behind) > 1:
        yield from _begun(world, state, index, {p: (position, len(state.logs[p])) for p, position in behind})


def _begun(world: World, state: State, index: int, moves: dict[int, tuple[int, int]]) -> Iterator[Step]:
    busy = {partition for other in state.instances if other.batch for partition, _ in other.batch.moves}
    if busy & moves.keys():
        return  # waits for the lock on the offset's row
    instance, stored = state.instances[index], state.schedule.offsets
    where = ", ".join(f"{world.scenario.named(p)} [{a}, {b})" for p, (a, b) in moves.items())
    if world.has(Safeguard.COMPARE_AND_SET) and any(stored[p] != position for p, (position, _) in moves.items()):
        again = tuple(
            (stored[p] if p in instance.owned else None) if p in moves else position
            for p, position in enumerate(instance.next)
        )
        yield f"is late with {where} and reads the offsets again", _with(state, index, instance._replace(next=again))
        return
    events = [event for p, (a, b) in moves.items() for event in state.logs[p][a:b]]
    offsets = tuple(moves[p][1] if p in moves else offset for p, offset in enumerate(stored))
    batch = Batch(tuple((p, b) for p, (_, b) in moves.items()), _effect(world, state, moves.keys(), events, offsets))
    yield f"applies {where}, not committed yet", _with(state, index, instance._replace(batch=batch))


def _effect(
    world: World, state: State, read: Collection[int], events: list[model.Event], offsets: tuple[int, ...]
) -> Effect:
    ended = tuple(event for event in events if isinstance(event, Ended))
    clocks = tuple(event for event in events if isinstance(event, Clock))
    known = _merged(state.schedule.ended, ended)
    held, outcomes = [], []
    for message in (event for event in events if isinstance(event, Sent)):
        word = verdict(*_facts(world, message, known), arriving=True)
        if word == "held":
            held.append(message)
        else:
            outcomes.append((message.recipient, word))
    looks = clocks or any(partition < world.scenario.processed for partition in read)
    watermark = _covered(world, {*state.schedule.clocks, *clocks}, offsets) if looks else NEVER
    return Effect(ended, tuple(held), clocks, tuple(outcomes), watermark)


def _covered(world: World, clocks: set[Clock], offsets: tuple[int, ...]) -> int:
    covered = [
        clock.at
        for clock in clocks
        if not world.has(Safeguard.COVERAGE)
        or all(offset <= offsets[partition] for partition, offset in enumerate(clock.campaigns_offsets))
    ]
    return max(covered, default=NEVER)


def _committed(world: World, state: State, index: int) -> Iterator[Step]:
    instance, schedule = state.instances[index], state.schedule
    batch = instance.batch
    assert batch is not None
    moves = dict(batch.moves)
    offsets = tuple(moves.get(partition, offset) for partition, offset in enumerate(schedule.offsets))
    if not world.has(Safeguard.ONE_BATCH) and not batch.moved:
        after = _with(state, index, instance._replace(batch=batch._replace(moved=True)))
        yield "commits its offsets", after._replace(schedule=schedule._replace(offsets=offsets))
        return
    position = tuple(moves.get(partition, old) for partition, old in enumerate(instance.next))
    after = _with(state, index, instance._replace(next=position, batch=None))
    done = _done(world, schedule._replace(offsets=offsets), batch.effect)
    yield f"commits{_told(batch.effect)}", after._replace(schedule=done)


def _done(world: World, schedule: Schedule, effect: Effect) -> Schedule:
    watermark, clocks = schedule.watermark, schedule.clocks | {*effect.clocks}
    if effect.watermark > watermark or (effect.watermark != NEVER and not world.has(Safeguard.MAXIMUM)):
        watermark = effect.watermark
        clocks = frozenset(clock for clock in clocks if clock.at > watermark)
    return schedule._replace(
        ended=_merged(schedule.ended, effect.ended),
        held=schedule.held | {*effect.held},
        clocks=clocks,
        watermark=watermark,
        outcomes=schedule.outcomes | {*effect.outcomes},
    )


def _told(effect: Effect) -> str:
    told = [f"END of campaign {end.campaign} at {shown(end.at)}" for end in effect.ended]
    told += [f"recipient {message.recipient} held" for message in effect.held]
    told += [f"recipient {recipient} {word}" for recipient, word in effect.outcomes]
    told += [f"the watermark at {shown(effect.watermark)}"] if effect.watermark != NEVER else []
    return ": " + ", ".join(told) if told else ""


def _released(world: World, state: State, index: int) -> Iterator[Step]:
    """One statement says what may leave, by campaign; later ones let it go. Nothing is locked in between."""
    instance, schedule = state.instances[index], state.schedule
    release = instance.release
    if release is not None and release.decisions:
        yield _leaves(world, state, index, release)
    elif release is None and schedule.held and not world.has(Safeguard.ENDS_LAST):
        early = instance._replace(release=model.Release(ends=schedule.ended))
        yield "reads the ENDs", _with(state, index, early)
    elif ready := _ready(world, state, release.ends if release else schedule.ended):
        told = ", ".join(f"campaign {campaign} {word}" for campaign, word in ready)
        after = _with(state, index, instance._replace(release=model.Release(ready)))
        yield f"reads the watermark {shown(schedule.watermark)} and the ENDs: {told}", after


def _ready(world: World, state: State, ends: tuple[int, ...]) -> tuple[tuple[int, str], ...]:
    """What is due by the watermark, and what can never be due because its campaign ended before."""
    decisions = set()
    for message in state.schedule.held:
        word = verdict(*_facts(world, message, ends), arriving=False)
        if word == "dropped" or state.schedule.watermark >= T:
            decisions.add((world.scenario.recipients[message.recipient], word))
    return tuple(sorted(decisions))


def _leaves(world: World, state: State, index: int, release: model.Release) -> Step:
    """The rows of a campaign leave held for the outbox, in one transaction."""
    instance, schedule, (campaign, word) = state.instances[index], state.schedule, release.decisions[0]
    rows = release.gone or {m for m in schedule.held if world.scenario.recipients[m.recipient] == campaign}
    schedule = schedule._replace(held=schedule.held - rows)
    if not world.has(Safeguard.ONE_RELEASE) and rows and not release.gone:
        gone = instance._replace(release=release._replace(gone=frozenset(rows)))
        return f"deletes what it holds for campaign {campaign}", _with(state._replace(schedule=schedule), index, gone)
    rest = release._replace(decisions=release.decisions[1:], gone=frozenset())
    after = _with(state, index, instance._replace(release=rest if rest.decisions else None))
    outcomes = schedule.outcomes | {(message.recipient, word) for message in rows}
    told = ", ".join(f"recipient {message.recipient} {word}" for message in sorted(rows)) or "nothing is left"
    return f"commits: {told}", after._replace(schedule=schedule._replace(outcomes=outcomes))


@cache
def verdict(processed_at: int, scheduled: bool, ended_at: int, *, arriving: bool) -> str:
    """What `scheduler.release` says."""
    message = processed(0, _moment(processed_at), scheduled_for=_moment(T) if scheduled else None)
    end = End(_moment(ended_at), "the END") if ended_at != NEVER else None
    return WORDS[type(admit(message, end) if arriving else decide(message, end))]


def _moment(at: int) -> datetime:
    return NOON + timedelta(microseconds=at)


def _facts(world: World, message: Sent, ends: tuple[int, ...]) -> tuple[int, bool, int]:
    campaign = world.scenario.recipients[message.recipient]
    return message.at, world.scenario.scheduled[campaign], ends[campaign]


def _merged(known: tuple[int, ...], ended: tuple[Ended, ...]) -> tuple[int, ...]:
    for end in ended:
        if known[end.campaign] == NEVER:
            known = put(known, end.campaign, end.at)
    return known


def _positions(state: State, owned: frozenset[int]) -> tuple[int | None, ...]:
    return tuple(offset if p in owned else None for p, offset in enumerate(state.schedule.offsets))


def _with(state: State, index: int, instance: Instance) -> State:
    return state._replace(instances=put(state.instances, index, instance))
