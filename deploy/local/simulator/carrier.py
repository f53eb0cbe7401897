"""The carrier's mood: today's faults, the habits of some numbers, and what both remember between requests."""

from random import Random

from .decision import Decision, Throttle, decide, throttled
from .faults import Faults
from .habits import by_ending


class Carrier:
    def __init__(self, *, sent_callbacks: bool) -> None:
        self._sent_callbacks = sent_callbacks
        # Numbers of habit 0014 that had their 429; a restart forgets them, and they get another.
        self._put_off: set[str] = set()
        self.behave(Faults())

    def behave(self, faults: Faults) -> None:
        """Replaces all faults; receipts already planned stay as they are."""
        self._faults = faults
        self._by_ending = by_ending(faults)
        self._rng = Random(faults.seed)
        self._throttle = Throttle(faults.throttle_per_s)

    def take(self, to: str, now_s: float) -> Decision:
        faults = self._by_ending.get(to[-4:], self._faults)
        if not self._throttle.passes(now_s):
            return throttled(hold_ms=faults.latency_ms)
        if faults.throttle_first and to not in self._put_off:
            self._put_off.add(to)
            return throttled(hold_ms=faults.latency_ms)
        return decide(faults, self._rng, sent_callbacks=self._sent_callbacks)
