"""When a recipient came into each state, as far as is known today: what the figures over time are made of.

The last state is the one the recipient is counted in now. An attempt that is known not to have been accepted never was
one; what a later fact implies had happened by then. So the same facts give the same course, in any order.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, cast

from projections.figures import numbers
from projections.progress import REJECTED, SENT_STATE, UNKNOWN, Row, State, leaf

Step = tuple[str, datetime]  # a state, and when it began
Move = tuple[datetime, str, int]  # in this minute, so many more or fewer are in this state

MINUTE_S = 60
# What people read on an axis.
STEPS_S = (60, 300, 900, 3600, 4 * 3600, 24 * 3600, 7 * 24 * 3600, 28 * 24 * 3600)
USUAL_POINTS, MOST_POINTS = 300, 2000
FOR_EVER = datetime.max.replace(tzinfo=UTC)


def course(row: Row) -> list[Step]:
    """The states in their order, each with the time it began."""
    told = _told(row)
    until = FOR_EVER
    for i in range(len(told) - 1, -1, -1):
        state, at = told[i]
        if at is not None and at < until:
            until = at
        told[i] = state, until
    return cast(list[Step], told)


def _told(row: Row) -> list[tuple[str, datetime | None]]:
    """The same, but with the times as they were told: some are not known, clocks of several hosts may disagree."""
    state, _ = leaf(row)
    attempt, receipt = row.attempt, row.receipt
    found: list[tuple[str, datetime | None]] = [(State.UNPROCESSED, row.listed.added_at if row.listed else None)]
    if state == State.UNPROCESSED:
        return found
    pressed_at = row.pressed.processed_at if row.pressed else row.released_at
    if state == State.WAITING:
        found.append((state, pressed_at or (attempt.outcome_at if attempt else None)))
        return found
    found.append((State.WAITING, pressed_at))
    if state == State.SUPPRESSED and row.suppressed:
        found.append((state, row.suppressed.suppressed_at))
    elif state == State.DROPPED and row.dropped:
        found.append((state, row.dropped.dropped_at))
    elif attempt:
        found.append((State.AWAITING, attempt.sent_at or attempt.accepted_at))
        if attempt.outcome in (UNKNOWN, REJECTED):
            found.append((SENT_STATE[attempt.outcome], attempt.outcome_at))
        if receipt and (receipt.verdict == State.DELIVERED or receipt.attempt == attempt.number):
            found.append((receipt.verdict, receipt.at))
    return found


def moves(steps: list[Step]) -> list[Move]:
    """By how much each figure changed, and when, in a course; what comes and goes within a minute is none."""
    found: list[Move] = []
    was, since = "", FOR_EVER
    for state, at in steps:
        minute = at.replace(second=0, microsecond=0)
        if was and minute != since:
            found += ((since, was, 1), (minute, was, -1))
        was, since = state, minute
    return [*found, (since, was, 1)] if was else found


def parted(before: list[Step], after: list[Step]) -> tuple[list[Step], list[Step]]:
    """Both from the last step they share on: what was before it moved the figures alike."""
    most = min(len(before), len(after))
    same = next((i for i in range(most) if before[i] != after[i]), most)
    return before[max(0, same - 1) :], after[max(0, same - 1) :]


# --- for people ------------------------------------------------------------------------------------------


class Span(NamedTuple):
    """The first and the last minute in which something changed."""

    first: datetime
    last: datetime

    def points(self, step_s: int) -> int:
        """How many points there are at most."""
        return int((self.last - self.first).total_seconds()) // step_s + 2


def usual_step(span: Span) -> int:
    """The shortest step that makes no more points than a chart shows."""
    return next((step for step in STEPS_S if span.points(step) <= USUAL_POINTS), STEPS_S[-1])


def points(rows: Iterable[Any], step_s: int) -> list[dict[str, Any]]:
    """The figures at the end of each step in which they changed; `rows` are the changes, each from `at` on."""
    leaves: dict[str, int] = dict.fromkeys(State, 0)
    found: list[dict[str, Any]] = []
    for row in rows:
        leaves = {state: leaves[state] + row[state] for state in State}
        found.append({"at": row["at"] + timedelta(seconds=step_s), **numbers(leaves)})
    return found
