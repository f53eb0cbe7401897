"""When a message that was not accepted may try again, and how hard to press a carrier that says no."""

from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime

from dispatcher.outcome import NotAccepted, Outcome, Unknown
from schemas.reasons import NotAcceptedReason

FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 5.0
LONGEST_RETRY_AFTER_S = 3600.0
LONGEST_REPEAT_S = 60.0
STREAK_OF_LONGEST = 6  # 0.25 · 2^5 = 8 > 5


def pause_s(streak: int, retry_after_s: float | None, jitter: float) -> float:
    """Seconds to wait after the `streak`-th refusal in a row: what the carrier asked, or 0.25 s doubling up to 5 s.

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
    except (ValueError, OverflowError):  # an hour of twenty digits
        return None
    return max(0.0, (until - now).total_seconds()) if until.tzinfo else None


def repeat_pause_s(repeats: int, retry_after_s: float | None, first_s: float, jitter: float) -> float:
    """Seconds until the same bytes are POSTed again: `first_s` doubling up to a minute, or what the carrier asked.

    The first pause is long enough for a receipt. A carrier repeats the answer of a success alone, so one that took the
    message, failed, and whose failure we never saw, would take it again: its receipt says so before we ask.
    A day of a minute each is 1,440 POSTs for one message at most, and each takes a free connection like any other.
    """
    asked = retry_after_s if retry_after_s is not None else first_s * 2 ** min(repeats, 6)
    return min(asked, LONGEST_REPEAT_S if retry_after_s is None else LONGEST_RETRY_AFTER_S) * (1 + jitter / 4)


def may_repeat(attempted_at: datetime, now: datetime, key_life_s: int) -> bool:
    """Whether a POST that begins now is over long before the carrier forgets the key: 24 h less one.

    The carrier counts from when it saw the key, which is after `attempted_at`. The margin, a 24th of its life and
    10 s at least, is for the POST itself and for clocks that differ.
    """
    margin_s = min(max(key_life_s / 24, 10.0), key_life_s / 2)
    return (now - attempted_at).total_seconds() < key_life_s - margin_s


@dataclass(frozen=True, slots=True)
class Pace:
    """How many intents may be open at once (`limit`), and from when on (`resume_at`, monotonic seconds).

    A refusal halves the limit; at one, everything rests for a pause that grows with each refusal in a row. An answer
    doubles it again; an unknown outcome is the breaker's (`breaker.py`). So one refusal among many slows nobody down,
    and a carrier that is away or throttles costs a handful of attempts, not one for each message that waits.
    """

    limit: int
    most: int
    streak: int = 0
    resume_at: float = 0.0

    @classmethod
    def full(cls, most: int) -> "Pace":
        return cls(limit=most, most=most)

    def slowest(self) -> "Pace":
        """One at a time, from which answers lead back: a carrier that has failed is not met with all that waits."""
        return Pace(1, self.most, self.streak, self.resume_at)

    def after(self, outcome: Outcome, now: float, jitter: float) -> "Pace":
        """The pace once this outcome is known. An intent that we let expire says nothing about the carrier."""
        if isinstance(outcome, Unknown):
            return self
        if not isinstance(outcome, NotAccepted):
            return self if self.limit == self.most else Pace(min(2 * self.limit, self.most), self.most)
        if outcome.reason == NotAcceptedReason.INTENT_EXPIRED or now < self.resume_at:
            return self  # what comes in during a pause was sent before it
        if self.limit > 1:
            return Pace(self.limit // 2, self.most, self.streak)
        streak = self.streak + 1
        return Pace(1, self.most, streak, now + pause_s(streak, outcome.retry_after_s, jitter))
