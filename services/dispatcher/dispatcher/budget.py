"""How many segments may leave: a rate for each sender, campaign and account, an allowance a day for each brand.

A rate's bucket holds what a tenth of a second brings, and at least one segment: so whatever the window, no more leaves
in it than the rate allows plus that bucket. A text of more segments than the bucket holds leaves when the bucket is
full, and is paid for afterwards. All that must be kept of a rate is until when it is paid for: until now means empty.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from dispatcher.turns import Lane

DEPTH_S = 0.1
A_DAY_S = 86_400
TICK_S = 1e-6  # finer than this no clock of ours is


class Kind(StrEnum):
    """What a limit is about. A brand is an account, by the day."""

    SENDER = "sender"
    CAMPAIGN = "campaign"
    ACCOUNT = "account"
    BRAND = "brand"


class Name(NamedTuple):
    """A budget's; budgets are locked in the order of their names."""

    kind: Kind
    key: str


@dataclass(frozen=True, slots=True)
class Limits:
    """In segments; 0 is no limit. `of_sender` are senders with a limit of their own."""

    sender_per_s: float = 0
    campaign_per_minute: int = 0
    account_per_minute: int = 0
    brand_per_day: int = 0
    of_sender: Mapping[str, float] | None = None

    @property
    def any(self) -> bool:
        """Whether there is a limit at all."""
        own = any(per_s > 0 for per_s in (self.of_sender or {}).values())
        return own or any((self.sender_per_s, self.campaign_per_minute, self.account_per_minute, self.brand_per_day))

    def per_s(self, name: Name) -> float:
        """The rate of a budget that has one; 0 is none."""
        match name.kind:
            case Kind.SENDER:
                return (self.of_sender or {}).get(name.key, self.sender_per_s)
            case Kind.CAMPAIGN:
                return self.campaign_per_minute / 60
            case Kind.ACCOUNT:
                return self.account_per_minute / 60
        return 0

    def names(self, lane: Lane) -> list[Name]:
        """The budgets that the lane's messages draw on."""
        keys = {
            Kind.SENDER: lane.sender,
            Kind.CAMPAIGN: lane.campaign_id,
            Kind.ACCOUNT: lane.account_id,
            Kind.BRAND: lane.account_id,
        }
        names = [Name(kind, key) for kind, key in keys.items()]
        return [name for name in names if (self.brand_per_day if name.kind == Kind.BRAND else self.per_s(name) > 0)]


NO_LIMITS = Limits()


@dataclass(slots=True)
class Rate:
    """A bucket that fills evenly. Times are seconds of one clock."""

    per_s: float
    paid_until: float

    @property
    def depth(self) -> float:
        return max(1.0, self.per_s * DEPTH_S)

    def left(self, now: float) -> float:
        """Segments that may leave now; negative while something is still to be paid for."""
        return min(self.depth, (now - self.paid_until) * self.per_s)

    def fits(self, segments: int, now: float) -> bool:
        return self.fits_at(segments, now) <= now + TICK_S

    def spend(self, segments: int, now: float) -> None:
        self.paid_until = max(self.paid_until, now - self.depth / self.per_s) + segments / self.per_s

    def fits_at(self, segments: int, now: float) -> float:
        """From when on so many may leave, if nothing else does."""
        return max(now, self.paid_until + min(segments, self.depth) / self.per_s)


@dataclass(slots=True)
class Allowance:
    """So many a calendar day (UTC, days since 1970). A text of more than a day's leaves alone."""

    per_day: int
    day: int
    spent: int

    def left(self, now: float) -> float:
        return self.per_day - self._spent(now)

    def fits(self, segments: int, now: float) -> bool:
        spent = self._spent(now)
        return spent + segments <= self.per_day or spent == 0

    def spend(self, segments: int, now: float) -> None:
        self.spent = self._spent(now) + segments
        self.day = max(self.day, int(now // A_DAY_S))

    def fits_at(self, segments: int, now: float) -> float:
        return now if self.fits(segments, now) else (max(self.day, int(now // A_DAY_S)) + 1) * A_DAY_S

    def _spent(self, now: float) -> int:
        """A clock that went back does not bring back yesterday's allowance."""
        return self.spent if now // A_DAY_S <= self.day else 0


Budget = Rate | Allowance


@dataclass(slots=True)
class Purse:
    """Budgets at one moment: each text draws on all of its lane's, or on none.

    A budget that is too small for a text whose turn it is pays for no other before it: what is large would starve.
    """

    limits: Limits
    budgets: dict[Name, Budget]
    now: float
    fits_at: float = float("inf")  # when the next of those that did not fit may leave
    _kept: set[Name] = field(default_factory=set)

    def spend(self, lane: Lane, segments: int) -> bool:
        """Whether there was enough, which is then spent."""
        names = self.limits.names(lane)
        if not self._kept.isdisjoint(names):
            return False
        short = [name for name in names if not self.budgets[name].fits(segments, self.now)]
        if short:
            self._kept.update(short)
            self.fits_at = min(self.fits_at, max(self.budgets[name].fits_at(segments, self.now) for name in short))
            return False
        for name in names:
            self.budgets[name].spend(segments, self.now)
        return True


def unused(limits: Limits, name: Name, now: float) -> Budget:
    """A budget that nobody has touched: a rate's bucket is empty, a day's allowance whole."""
    if name.kind == Kind.BRAND:
        return Allowance(limits.brand_per_day, int(now // A_DAY_S), 0)
    return Rate(limits.per_s(name), now)
