"""The numbers that misbehave by themselves, by their last four digits: the one place that says how."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .faults import Faults


@dataclass(frozen=True, slots=True)
class Habit:
    """`words` is the README's row; `faults` and `receipts` take the place of what `PUT /simulator/faults` says."""

    words: str
    faults: Mapping[str, Any] = field(default_factory=dict)
    receipts: Mapping[str, Any] = field(default_factory=dict)


TAKEN: Mapping[str, Any] = {"reject": {}, "fail_after_accept": 0.0, "drop_response": 0.0}


def _rejected(code: int, why: str) -> Habit:
    return Habit(f"rejected {code}: {why}", faults={"reject": {code: 1.0}})


def _failed(code: int, why: str) -> Habit:
    return Habit(f"failed {code}: {why}", receipts={"failed": {code: 1.0}, "silent": 0.0})


def _late(delay_ms: float) -> Mapping[str, Any]:
    return {"delay_ms": delay_ms, "silent": 0.0, "shuffle": 0.0}


HABITS: Mapping[str, Habit] = {
    "0001": _rejected(21211, "invalid number"),
    "0002": _rejected(21614, "not a mobile number"),
    "0003": _failed(30003, "unreachable"),
    "0004": _failed(30004, "blocked"),
    "0005": _failed(30005, "unknown number"),
    "0006": _failed(30006, "landline"),
    "0007": _failed(30007, "filtered"),
    "0008": _failed(30008, "unknown"),
    "0009": Habit("silent: accepted, no receipt ever", receipts={"silent": 1.0}),
    "0010": _rejected(21610, "opted out at the carrier"),
    "0011": _failed(30034, "unregistered sender"),
    "0012": Habit(
        "takes it and answers 500; the receipt follows after 3 s",
        faults={**TAKEN, "fail_after_accept": 1.0},
        receipts=_late(3_000),
    ),
    "0013": Habit(
        "takes it and cuts the connection; the receipt follows after 3 s",
        faults={**TAKEN, "drop_response": 1.0},
        receipts=_late(3_000),
    ),
    "0014": Habit(
        "answers 429 with Retry-After 1 the first time it is asked, then takes it",
        faults={**TAKEN, "throttle_first": True},
    ),
    "0015": Habit("answers after 2 s", faults={"latency_ms": 2_000.0}),
    "0016": Habit("answers 500 without taking it", faults={"reject": {}, "fail_before_accept": True}),
    "0017": Habit(
        "first undelivered 30003, then delivered 1 s later",
        receipts={"failed": {30003: 1.0}, "silent": 0.0, "shuffle": 0.0, "recovers_after_ms": 1_000.0},
    ),
    "0018": Habit(
        "every receipt three times and out of order",
        receipts={"silent": 0.0, "shuffle": 0.0, "repeat": 0.0, "thrice": True},
    ),
    "0019": Habit("receipt only after 10 s", receipts=_late(10_000)),
}


def by_ending(faults: Faults) -> Mapping[str, Faults]:
    """What goes wrong for each of the numbers: its habit, and today's faults where the habit is silent."""
    return {
        ending: replace(faults, **habit.faults, receipts=replace(faults.receipts, **habit.receipts))
        for ending, habit in HABITS.items()
    }
