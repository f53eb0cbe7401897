"""What a batch changes in the figures of campaigns: the rows before and after it, counted."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from projections.course import course, moves, parted
from projections.progress import Row, State, leaf


class Presses(NamedTuple):
    """How often somebody pressed SEND, and the first and last time."""

    times: int
    first_at: datetime
    last_at: datetime

    def joined(self, other: "Presses") -> "Presses":
        return Presses(self.times + other.times, min(self.first_at, other.first_at), max(self.last_at, other.last_at))


@dataclass(slots=True)
class Change:
    """What a batch changed in the figures of one campaign."""

    account_id: str
    leaves: Counter[str] = field(default_factory=Counter)
    failed_by_reason: Counter[str] = field(default_factory=Counter)
    minutes: defaultdict[tuple[datetime, str], int] = field(default_factory=lambda: defaultdict(int))
    senders: dict[str, Presses] = field(default_factory=dict)
    events: int = 0


def changes(rows: Iterable[tuple[Row | None, Row, int]]) -> dict[str, Change]:
    """The changes per campaign from (row before, row after, events that were new) of each recipient."""
    found: dict[str, Change] = {}
    for before, after, events in rows:
        change = found.setdefault(after.campaign_id, Change(after.account_id))
        change.events += events
        _count(change, after, +1)
        if before is not None:
            _count(change, before, -1)
        _count_minutes(change, before, after)
        if after.pressed and not (before and before.pressed):
            _count_press(change, after.pressed.processed_by, after.pressed.processed_at)
    return found


def _count(change: Change, row: Row, by: int) -> None:
    state, reason = leaf(row)
    change.leaves[state] += by
    if state == State.FAILED:
        change.failed_by_reason[reason or "unknown"] += by


def _count_minutes(change: Change, before: Row | None, after: Row) -> None:
    old, new = parted(course(before) if before else [], course(after))
    for minute, state, n in moves(new):
        change.minutes[minute, state] += n
    for minute, state, n in moves(old):
        change.minutes[minute, state] -= n


def _count_press(change: Change, user_id: str, at: datetime) -> None:
    press, known = Presses(1, at, at), change.senders.get(user_id)
    change.senders[user_id] = known.joined(press) if known else press
