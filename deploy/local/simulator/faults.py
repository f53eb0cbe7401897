"""What the carrier does wrong: the body of `PUT /simulator/faults`, checked as a whole and then frozen."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

Shares = Mapping[int, float]

DEFAULT_DELAY_MS = 100.0
"""A healthy carrier's receipt: late enough to come after the answer, early enough not to slow a test."""
DEFAULT_FAILURE = 30003
"""The code of a failed message when `failed` is a bare share: unreachable, the commonest one."""
LONGEST_MS = 3_600_000


class FaultError(Exception):
    """The body is refused; the message says which key and why, and nothing changed."""


@dataclass(frozen=True, slots=True)
class ReceiptFaults:
    delay_ms: float = DEFAULT_DELAY_MS
    repeat: float = 0.0
    shuffle: float = 0.0
    failed: Shares = field(default_factory=dict)
    silent: float = 0.0
    # Only for the numbers of habits.py:
    recovers_after_ms: float | None = None
    thrice: bool = False


@dataclass(frozen=True, slots=True)
class Faults:
    latency_ms: float = 0.0
    reject: Shares = field(default_factory=dict)
    drop_response: float = 0.0
    fail_after_accept: float = 0.0
    throttle_per_s: float | None = None
    receipts: ReceiptFaults = field(default_factory=ReceiptFaults)
    seed: int | None = None
    # Only for the numbers of habits.py:
    fail_before_accept: bool = False
    throttle_first: bool = False


def parse(body: object) -> Faults:
    """Raises FaultError for an unknown key or a bad value; an absent key is healthy."""
    return Faults(**_fields(body, "", FAULTS))


def chance(share: float, rng: Random) -> bool:
    """No draw for a share of 0, so a healthy message costs no randomness."""
    return share > 0 and rng.random() < share


def draw(shares: Shares, rng: Random) -> int | None:
    """One code, or None for the share that is left."""
    if not shares:
        return None
    point = rng.random()
    for code, share in shares.items():
        if point < share:
            return code
        point -= share
    return None


def _fields(body: object, prefix: str, known: Mapping[str, Callable[[str, object], Any]]) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise FaultError(f"{prefix.rstrip('.') or 'the body'} must be a JSON object")
    if unknown := sorted(set(body) - set(known)):
        raise FaultError(f"unknown key {prefix}{unknown[0]}; known are {', '.join(known)}")
    return {key: known[key](prefix + key, value) for key, value in body.items()}


def _number(name: str, value: object, most: float) -> float:
    # true and false are the shares 1 and 0. NaN fails the comparison.
    if not isinstance(value, int | float) or not 0 <= value <= most:
        raise FaultError(f"{name} must be a number from 0 to {most:g}")
    return float(value)


def _share(name: str, value: object) -> float:
    return _number(name, value, 1)


def _duration_ms(name: str, value: object) -> float:
    return _number(name, value, LONGEST_MS)


def _rate(name: str, value: object) -> float:
    return _number(name, value, 1e6)


def _shares(name: str, value: object) -> Shares:
    if not isinstance(value, dict):
        raise FaultError(f"{name} must be an object of carrier codes and shares")
    shares = {_code(name, code): _share(f"{name}.{code}", share) for code, share in value.items()}
    if sum(shares.values()) > 1 + 1e-9:
        raise FaultError(f"the shares of {name} are more than 1 together")
    return shares


def _code(name: str, code: str) -> int:
    if not (code.isascii() and code.isdigit() and len(code) == 5):
        raise FaultError(f"{name}: a carrier code is five digits")
    return int(code)


def _failed(name: str, value: object) -> Shares:
    if isinstance(value, dict):
        return _shares(name, value)
    share = _share(name, value)
    return {DEFAULT_FAILURE: share} if share else {}


def _seed(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise FaultError(f"{name} must be an integer")
    return value


def _receipts(name: str, value: object) -> ReceiptFaults:
    return ReceiptFaults(**_fields(value, f"{name}.", RECEIPTS))


RECEIPTS: Mapping[str, Callable[[str, object], Any]] = {
    "delay_ms": _duration_ms,
    "repeat": _share,
    "shuffle": _share,
    "failed": _failed,
    "silent": _share,
}
FAULTS: Mapping[str, Callable[[str, object], Any]] = {
    "latency_ms": _duration_ms,
    "reject": _shares,
    "drop_response": _share,
    "fail_after_accept": _share,
    "throttle_per_s": _rate,
    "receipts": _receipts,
    "seed": _seed,
}
