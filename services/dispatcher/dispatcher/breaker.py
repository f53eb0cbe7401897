"""When to leave messages waiting: a carrier that fails again and again would make an unknown of each.

closed ──► open, after so many failures in a row, or half of a window ──► half open, after a pause: one probe
  ▲                                                                        │  fails: open, for twice as long
  └───────────────────────────── is answered ──────────────────────────────┘
"""

from dataclasses import dataclass, replace
from itertools import takewhile

from dispatcher.outcome import NotAccepted, Outcome, Unknown
from schemas.reasons import NotAcceptedReason

FIRST_PAUSE_S = 0.5
WINDOW = 100  # outcomes, of which half must be failures


def failed(outcome: Outcome) -> bool | None:
    """Whether the carrier failed at it; None when it says nothing of that: a 429 slows the pace, and no more."""
    if isinstance(outcome, NotAccepted):
        return True if outcome.reason == NotAcceptedReason.COULD_NOT_CONNECT else None
    return isinstance(outcome, Unknown)


@dataclass(frozen=True, slots=True)
class Breaker:
    """Opens after `failures` in a row (0: never), of at least so many `senders`: one's trouble is not its provider's.

    A window of which half are failures opens it too, where one sender is enough. Times are monotonic seconds.
    """

    failures: int
    longest_pause_s: float
    senders: int = 1
    recent: tuple[str, ...] = ()  # since the first failure, the newest first: whose it was, or nobody's
    openings: int = 0  # without closing in between
    open_until: float | None = None
    heed_from: float = float("-inf")  # POSTs that began earlier say nothing new

    @property
    def closed(self) -> bool:
        return self.open_until is None

    def is_open(self, now: float) -> bool:
        """Nothing goes; when it no longer is, and not closed either, one probe does."""
        return self.open_until is not None and now < self.open_until

    def after(self, outcome: Outcome, sender: str, began: float, now: float, jitter: float) -> "Breaker":
        """The breaker once the outcome of a POST that began then is known."""
        fault = failed(outcome)
        if fault is None or not self.failures or began < self.heed_from:
            return self
        if not self.closed:
            return self._opened(now, jitter) if fault else replace(self, openings=0, open_until=None)
        if not fault and not self.recent:
            return self
        recent = (sender if fault else "", *self.recent)[:WINDOW]
        counted = replace(self, recent=recent if any(recent) else ())
        return counted._opened(now, jitter) if counted._enough() else counted

    def _enough(self) -> bool:
        streak = list(takewhile(bool, self.recent))
        if len(streak) >= self.failures and len(set(streak)) >= self.senders:
            return True
        half = len(self.recent) == WINDOW and 2 * sum(map(bool, self.recent)) >= WINDOW
        return half and self.senders == 1

    def _opened(self, now: float, jitter: float) -> "Breaker":
        pause_s = min(FIRST_PAUSE_S * 2 ** min(self.openings, 20), self.longest_pause_s) * (1 + jitter / 4)
        until = now + pause_s
        return replace(self, recent=(), openings=self.openings + 1, open_until=until, heed_from=until)
