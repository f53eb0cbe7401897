"""The numbers of Progress. Only leaves are counted; the sums follow from them, so they add up in every answer."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from projections.progress import Row, State, leaf

SUMS: dict[str, tuple[str, ...]] = {
    "not_delivered": (State.FAILED, State.AWAITING, State.UNCONFIRMED, State.UNKNOWN),
    "sent": (State.DELIVERED, "not_delivered"),
    "processed": (State.WAITING, State.SUPPRESSED, State.DROPPED, "sent"),
    "recipients": (State.UNPROCESSED, "processed"),
}


def numbers(leaves: Mapping[str, int]) -> dict[str, int]:
    """Leaves and sums, in the order people read them."""
    found = {str(state): leaves.get(state, 0) for state in State}
    for name, parts in SUMS.items():
        found[name] = sum(found[part] for part in parts)
    top_down = ("recipients", "processed", "sent", "not_delivered")
    return {**{name: found.pop(name) for name in top_down}, **found}


def leaves_of(name: str) -> list[str] | None:
    """The states a number counts: itself for a leaf, its parts for a sum; None for no number of ours."""
    if name in SUMS:
        return [leaf for part in SUMS[name] for leaf in leaves_of(part) or []]
    return [name] if name in list(State) else None


@dataclass(slots=True)
class Change:
    """What a batch changed in the figures of one campaign."""

    account_id: str
    leaves: Counter[str] = field(default_factory=Counter)
    failed_by_reason: Counter[str] = field(default_factory=Counter)
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
    return found


def _count(change: Change, row: Row, by: int) -> None:
    state, reason = leaf(row)
    change.leaves[state] += by
    if state == State.FAILED:
        change.failed_by_reason[reason or "unknown"] += by
