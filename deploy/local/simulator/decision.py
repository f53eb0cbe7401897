"""What happens to one send request: decided as data, before anything is written or answered."""

from collections import deque
from dataclasses import dataclass
from random import Random

from .faults import Faults, chance, draw
from .receipts import Receipt, plan

CREATED, SERVER_ERROR, TOO_MANY = 201, 500, 429


@dataclass(frozen=True, slots=True)
class Decision:
    """`status` is answered, or would have been if `cut`; `code` is Twilio's, of a refusal."""

    status: int
    code: int | None = None
    accepted: bool = False
    cut: bool = False
    hold_ms: float = 0.0
    retry_after_s: int | None = None
    receipts: tuple[Receipt, ...] = ()


def refuse(status: int, code: int, *, hold_ms: float = 0.0) -> Decision:
    return Decision(status, code, hold_ms=hold_ms)


def throttled(*, hold_ms: float) -> Decision:
    return Decision(TOO_MANY, 20429, retry_after_s=1, hold_ms=hold_ms)


def decide(faults: Faults, rng: Random, *, sent_callbacks: bool) -> Decision:
    """The fate of a well-formed request that was not throttled."""
    hold_ms = faults.latency_ms
    if code := draw(faults.reject, rng):
        return refuse(400, code, hold_ms=hold_ms)
    if faults.fail_before_accept:
        return refuse(SERVER_ERROR, 20500, hold_ms=hold_ms)
    planned = plan(faults.receipts, rng, sent_callbacks=sent_callbacks)
    hold_ms += planned.hold_answer_ms
    if chance(faults.drop_response, rng):
        return Decision(CREATED, None, True, True, hold_ms, receipts=planned.receipts)
    if chance(faults.fail_after_accept, rng):
        return Decision(SERVER_ERROR, 20500, True, False, hold_ms, receipts=planned.receipts)
    return Decision(CREATED, None, True, False, hold_ms, receipts=planned.receipts)


class Throttle:
    """At most `per_s` requests within any second; below 1 it counts over a longer time (0.5: one within 2 s)."""

    def __init__(self, per_s: float | None) -> None:
        self._most = None if per_s is None else max(1, int(per_s)) if per_s else 0
        self._window_s = self._most / per_s if self._most and per_s else 1.0
        self._passed: deque[float] = deque()

    def passes(self, now_s: float) -> bool:
        if self._most is None:
            return True
        while self._passed and self._passed[0] <= now_s - self._window_s:
            self._passed.popleft()
        if len(self._passed) >= self._most:
            return False
        self._passed.append(now_s)
        return True
