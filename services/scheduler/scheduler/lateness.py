"""How late messages are let go: a histogram that takes a whole chunk at a time."""

from bisect import bisect_left
from itertools import accumulate

# Seconds, each twice the one before: 1 ms to a little over 9 hours.
BOUNDS = tuple(0.001 * (1 << n) for n in range(26))


class Lateness:
    """From due to released, since the process began."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS) + 1)
        self._sum_s = self._max_s = 0.0

    def add(self, late_s: float, messages: int) -> None:
        late_s = max(0.0, late_s)
        self._counts[bisect_left(BOUNDS, late_s)] += messages
        self._sum_s += late_s * messages
        self._max_s = max(self._max_s, late_s)

    def quantile(self, share: float) -> float | None:
        """Seconds that so many of a hundred were not later than; the upper bound of their bucket. None: no message."""
        wanted = share * sum(self._counts)
        bounds: tuple[float, ...] = (*BOUNDS, self._max_s)
        for bound, reached in zip(bounds, accumulate(self._counts), strict=True):
            if reached and reached >= wanted:
                return min(bound, self._max_s)
        return None

    def summary(self) -> dict[str, float | int | None]:
        """`{"messages", "p50_s", "p99_s", "max_s"}`."""
        messages = sum(self._counts)
        return {
            "messages": messages,
            "p50_s": self.quantile(0.5),
            "p99_s": self.quantile(0.99),
            "max_s": self._max_s if messages else None,
        }

    def buckets(self) -> list[tuple[str, int]]:
        """Prometheus' view: each bound in seconds, and how many messages were not later."""
        return list(zip((*map(str, BOUNDS), "+Inf"), accumulate(self._counts), strict=True))

    @property
    def sum_s(self) -> float:
        return self._sum_s
