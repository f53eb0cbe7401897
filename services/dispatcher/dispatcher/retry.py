"""When a message that was not accepted may try again, and how hard to press a carrier that says no."""

from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime

from dispatcher.outcome import NotAccepted, Outcome
from schemas.reasons import NotAcceptedReason

FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 30.0
LONGEST_RETRY_AFTER_S = 3600.0
STREAK_OF_LONGEST = 8  # 0.25 · 2^7 = 32 > 30


def pause_s(streak: int, retry_after_s: float | None, jitter: float) -> float:
    """Seconds to wait after the `streak`-th refusal in a row: what the carrier asked, or 0.25 s doubling up to 30 s.

    `jitter` in [0, 1) adds up to a quarter, so that processes that were refused together do not return together.
    """
    asked = retry_after_s if retry_after_s is not None else FIRST_PAUSE_S * 2 ** (min(streak, STREAK_OF_LONGEST) - 1)
    limit = LONGEST_PAUSE_S if retry_after_s is None else LONGEST_RETRY_AFTER_S
    return min(asked, limit) * (1 + jitter / 4)


def read_retry_after(header: str | None, now: datetime) -> float | None:
    """Seconds of a Retry-After header, which is a number or a date; None without a sensible one."""
    if not header:
        return None
    header = header.strip()
    if header.isascii() and header.isdigit() and len(header) < 10:
        return float(header)
    try:
        until = parsedate_to_datetime(header)
    except ValueError:
        return None
    return max(0.0, (until - now).total_seconds()) if until.tzinfo else None


@dataclass(frozen=True, slots=True)
class Pace:
    """How many intents may be open at once and from when on (`resume_at`, monotonic seconds).

    A refusal stops everything for the pause and lets one message try; each acceptance doubles the number. So a
    carrier that is away or throttles costs a handful of attempts, not one for every message that waits.
    """

    limit: int
    most: int
    streak: int = 0
    resume_at: float = 0.0

    @classmethod
    def full(cls, most: int) -> "Pace":
        return cls(limit=most, most=most)

    def after(self, outcome: Outcome, now: float, jitter: float) -> "Pace":
        """The pace once this outcome is known. Intents we let expire say nothing about the carrier."""
        if not isinstance(outcome, NotAccepted):
            return self if self.limit == self.most else Pace(min(2 * self.limit, self.most), self.most)
        if outcome.reason == NotAcceptedReason.INTENT_EXPIRED:
            return self
        if now < self.resume_at and outcome.retry_after_s is None:
            return self  # sent before the pause began: one wave of refusals is one refusal
        pause = pause_s(self.streak + 1, outcome.retry_after_s, jitter)
        return Pace(1, self.most, self.streak + 1, max(self.resume_at, now + pause))
