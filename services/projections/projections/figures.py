"""The numbers of Progress. Only leaves are counted; the sums follow from them, so they add up in every answer."""

from collections.abc import Mapping

from projections.progress import State

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
