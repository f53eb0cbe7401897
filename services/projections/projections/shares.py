"""Figures as shares, so that campaigns of different sizes can be compared."""

from collections.abc import Mapping

# share -> (of what, among what)
SHARES = {
    "processed": ("processed", "recipients"),
    "sent": ("sent", "processed"),
    "suppressed": ("suppressed", "processed"),
    "dropped": ("dropped", "processed"),
    "delivered": ("delivered", "sent"),
    "failed": ("failed", "sent"),
    "awaiting": ("awaiting", "sent"),
    "unconfirmed": ("unconfirmed", "sent"),
    "unknown": ("unknown", "sent"),
}
DIGITS = 4


def shares(figures: Mapping[str, int]) -> dict[str, float | None]:
    """Each share between 0 and 1; None where there is nothing to have a share of."""
    return {name: _share(figures[part], figures[whole]) for name, (part, whole) in SHARES.items()}


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, DIGITS) if whole else None
