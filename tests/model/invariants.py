"""What must hold in every state, at every step, and when nothing happens any more."""

from tests.model.state import NEVER, State, T, World


def wrong_step(world: World, before: State, after: State) -> str | None:
    """What a step must not do."""
    if after.schedule.watermark < before.schedule.watermark:
        return "the watermark goes back"
    if any(old not in (NEVER, new) for old, new in zip(before.intake.ended, after.intake.ended, strict=True)):
        return "the answer to END changes"
    if after.intake.sent != before.intake.sent:
        for recipient, campaign in enumerate(world.scenario.recipients):
            if after.intake.sent[recipient] != before.intake.sent[recipient] and before.intake.ended[campaign] != NEVER:
                return f"SEND {recipient} counts although its campaign's END had been answered"
    return None


def wrong(world: World, state: State) -> str | None:
    """What must never be."""
    outcomes = state.schedule.outcomes
    for recipient, at in enumerate(state.intake.sent):
        campaign = world.scenario.recipients[recipient]
        ended = state.intake.ended[campaign]
        scheduled = world.scenario.scheduled[campaign]
        early = scheduled and NEVER < ended < T
        if (recipient, "released") in outcomes and early:
            return f"G3: END was answered before T, and recipient {recipient} is texted"
        if (recipient, "dropped") in outcomes and not early:
            return f"G4: recipient {recipient} is dropped though there is no END before T"
        if early and at >= T:
            return f"SEND {recipient} was answered at or after T, END after it before T"
        if (recipient, "released") in outcomes and scheduled and at < T and state.schedule.watermark < T:
            return f"recipient {recipient} is texted before T"
        if at == NEVER and ({(recipient, "released"), (recipient, "dropped")} & outcomes):
            return f"recipient {recipient} was never SENT, and there is an outcome"
    return None


def unsettled(state: State) -> set[int]:
    """The recipients that were SENT and have neither been released nor dropped."""
    return {r for r, at in enumerate(state.intake.sent) if at != NEVER} - {r for r, _ in state.schedule.outcomes}
