"""What an operator sees of a sender: what waits there and for what, how hard its carrier is pressed, what is left."""

from collections.abc import Iterable, Mapping
from typing import Any

from dispatcher.clearance import Why
from dispatcher.flow import Pressure

ASIDE = tuple(Why)
SHOWN = 100  # senders in /status, those in trouble first


def reason_of_turn(pressure: Pressure | None, left: float | None) -> str:
    """What those wait for whom nothing but their lane holds: a breaker, the pace, a limit, or just their turn."""
    if pressure is not None and pressure.breaker != "closed":
        return "breaker"
    if pressure is not None and pressure.resumes_in_s > 0:
        return "pace"
    return "budget" if left is not None and left < 1 else "turn"


def sender(
    number: str, provider: str, pressure: Pressure | None, turn: int, aside: Mapping[str, int],
    unknown: Mapping[str, int], per_s: float, left: float | None,
) -> dict[str, Any]:  # fmt: skip
    """One sender's row. `left` are segments that may leave at once; null where there is no limit."""
    waiting = {reason_of_turn(pressure, left): turn} if turn else {}
    return {
        "sender": number,
        "provider": provider,
        "waiting": {**waiting, **aside},
        "unknown": dict(unknown),
        **pressed(pressure),
        "segments_per_s": per_s or None,
        "segments_left": None if left is None else round(left, 1),
    }


def pressed(pressure: Pressure | None) -> dict[str, Any]:
    """How hard, by the process that answers; `limit` is null before it has sent anything."""
    if pressure is None:
        return {"breaker": "closed", "in_use": 0, "limit": None, "resumes_in_s": 0.0}
    return {
        "breaker": pressure.breaker,
        "in_use": pressure.in_use,
        "limit": pressure.limit,
        "resumes_in_s": round(pressure.resumes_in_s, 2),
    }


def figures(
    pressures: Iterable[Pressure], unknown: Iterable[tuple[str, str, int]], provider_of: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Providers (without a sender) and senders, for /status: where something rests or is unknown first.

    Of a sender's number no more than its end: whoever may ask this has no account, and the number is somebody's.
    """
    reasons: dict[str, dict[str, int]] = {}
    for number, reason, count in unknown:
        reasons.setdefault(number, {})[reason] = count
    rows = [
        {"provider": p.provider, "sender": p.sender, **pressed(p), "unknown": reasons.pop(p.sender or "", {})}
        for p in pressures
    ]
    rows += [
        {"provider": provider_of[number], "sender": number, **pressed(None), "unknown": found}
        for number, found in sorted(reasons.items())
    ]
    rows.sort(key=lambda row: (row["sender"] is not None, row["breaker"] == "closed", not row["resumes_in_s"],
                               not row["unknown"]))  # fmt: skip
    return [row | {"sender": row["sender"] and f"…{row['sender'][-4:]}"} for row in rows[:SHOWN]]
