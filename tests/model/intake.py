"""send-intake's requests and the wall.

Taking a lock and reading under it are one step: what others do in between they may as well do before.
"""

from collections.abc import Iterator

from tests.model.safeguards import Safeguard
from tests.model.state import NEVER, Ended, Request, Sent, State, Step, T, World, put, shown, spend

OPEN = "open"


def wishes(world: World, state: State) -> Iterator[Step]:
    """What people and the wall may do or leave."""
    for recipient, send in enumerate(state.sends):
        if send.phase == "idle":
            yield from _send(world, state, recipient)
    for end, request in enumerate(state.ends):
        if request.phase == "idle":
            yield from _end(world, state, end)
    if state.wall < T:
        yield f"the wall shows {shown(T)}", state._replace(wall=T)
    elif state.budget.backs:
        yield f"the wall goes back to {shown(0)}", spend(state, "backs", wall=0)


def steps(world: World, state: State) -> Iterator[Step]:
    """What a request does once it has begun."""
    for recipient, send in enumerate(state.sends):
        if send.phase == "begun" and _send_may_lock(world, state, world.scenario.recipients[recipient]):
            yield f"SEND {recipient} gets its lock", _sending(state, recipient, OPEN, send.at)
        elif send.phase == OPEN:
            yield f"SEND {recipient} at {shown(send.at)} commits", _send_commits(world, state, recipient)
    for end, request in enumerate(state.ends):
        if request.phase == "begun" and _end_may_lock(world, state, end):
            yield f"END {end} gets its locks", _end_opens(world, state, end, request.at)
        elif request.phase == OPEN:
            yield f"END {end} at {shown(request.at)} commits", _end_commits(world, state, end)


def faults(state: State) -> Iterator[Step]:
    """Postgres ends a transaction that is open; the person may try again."""
    if state.budget.aborts:
        for recipient, send in enumerate(state.sends):
            if send.phase == OPEN:
                yield f"SEND {recipient} is aborted", spend(state, "aborts", sends=_idle(state.sends, recipient))
        for end, request in enumerate(state.ends):
            if request.phase == OPEN:
                yield f"END {end} is aborted", spend(state, "aborts", ends=_idle(state.ends, end))


def clock_is_free(world: World, state: State) -> bool:
    """Whether the clock's lock can be had exclusively, or is not asked for."""
    if not world.has(Safeguard.CLOCK_LOCKED) or not world.has(Safeguard.END_HOLDS_CLOCK):
        return True
    return not any(request.phase == OPEN for request in state.ends)


def _send(world: World, state: State, recipient: int) -> Iterator[Step]:
    campaign = world.scenario.recipients[recipient]
    early = not world.has(Safeguard.SEND_READS_LATE)
    if not early and not _send_may_lock(world, state, campaign):
        return
    if state.intake.ended[campaign] != NEVER:
        yield f"SEND {recipient} is refused", _sending(state, recipient, "over", NEVER)
        return
    at = state.wall
    if world.has(Safeguard.SEND_AFTER_CLOCK):
        at = max(at, state.intake.clock + 1)
    what = "reads, without its lock yet," if early else "takes its lock and reads"
    yield f"SEND {recipient} {what} {shown(at)}", _sending(state, recipient, "begun" if early else OPEN, at)


def _send_may_lock(world: World, state: State, campaign: int) -> bool:
    return not (world.has(Safeguard.CAMPAIGN_LOCKED) and _ending(world, state, campaign))


def _sending(state: State, recipient: int, phase: str, at: int) -> State:
    return state._replace(sends=put(state.sends, recipient, Request(phase, at)))


def _send_commits(world: World, state: State, recipient: int) -> State:
    intake, at, campaign = state.intake, state.sends[recipient].at, world.scenario.recipients[recipient]
    reached = intake.reached
    if world.scenario.scheduled[campaign] and at >= T and reached[campaign] == NEVER:
        reached = put(reached, campaign, at)
    intake = intake._replace(
        sent=put(intake.sent, recipient, at), reached=reached, outbox=(*intake.outbox, Sent(recipient, at))
    )
    return _sending(state._replace(intake=intake), recipient, "over", at)


def _end(world: World, state: State, end: int) -> Iterator[Step]:
    campaign = world.scenario.ends[end]
    early = not world.has(Safeguard.END_READS_LATE)
    if not early and not _end_may_lock(world, state, end):
        return
    intake, at = state.intake, state.wall
    if world.has(Safeguard.END_AFTER_CLOCK):
        at = max(at, intake.clock + 1)
    if world.has(Safeguard.REACHED) and intake.reached[campaign] != NEVER:
        at = max(at, intake.reached[campaign] + 1)
    if early:
        begun = state._replace(ends=put(state.ends, end, Request("begun", at)))
        yield f"END {end} reads, without its locks yet, {shown(at)}", begun
    elif intake.ended[campaign] == NEVER:
        yield f"END {end} takes its locks and reads {shown(at)}", _end_opens(world, state, end, at)
    else:
        yield f"END {end} finds it ended", _end_opens(world, state, end, at)


def _end_may_lock(world: World, state: State, end: int) -> bool:
    """The row of the campaign keeps another END away also where nobody takes the campaign's lock."""
    campaign = world.scenario.ends[end]
    if _ending(world, state, campaign):
        return False
    return not world.has(Safeguard.CAMPAIGN_LOCKED) or not any(
        send.phase == OPEN and world.scenario.recipients[recipient] == campaign
        for recipient, send in enumerate(state.sends)
    )


def _ending(world: World, state: State, campaign: int) -> bool:
    return any(request.phase == OPEN and world.scenario.ends[end] == campaign for end, request in enumerate(state.ends))


def _end_opens(world: World, state: State, end: int, at: int) -> State:
    ended = state.intake.ended[world.scenario.ends[end]] != NEVER
    return state._replace(ends=put(state.ends, end, Request("over") if ended else Request(OPEN, at)))


def _end_commits(world: World, state: State, end: int) -> State:
    intake, at, campaign = state.intake, state.ends[end].at, world.scenario.ends[end]
    intake = intake._replace(ended=put(intake.ended, campaign, at), outbox=(*intake.outbox, Ended(campaign, at)))
    return state._replace(intake=intake, ends=put(state.ends, end, Request("over", at)))


def _idle(requests: tuple[Request, ...], index: int) -> tuple[Request, ...]:
    return put(requests, index, Request())
