"""Whose turn it is: accounts in turn, each account's campaigns in turn, each campaign's senders in turn.

What waits stands in lanes, one for each campaign and sender's number. Each free connection goes to whoever has fewest
in use, and among equals to whoever was served longest ago: first the account, in it the campaign, in it the lane. So
an account with fifty campaigns gets as much as one with one, a million due at once delay nobody else's SEND, and a
slow carrier keeps its account's share of the connections busy, never all of them.

Every process has its own turns; two that are each fair are fair together.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from heapq import heapify, heappop, heapreplace
from typing import NamedTuple

FORGET_BEYOND = 20_000  # who was served when is forgotten beyond so many, which costs somebody one turn

Rank = tuple[int, int, str]  # in use, served at, who


class Lane(NamedTuple):
    """Messages of one campaign from one sender's number, in the order in which they were due."""

    account_id: str
    campaign_id: str
    sender: str

    @property
    def path(self) -> tuple[str, str, str]:
        """The names under which account, campaign and lane are counted; an id is only one of them."""
        return self.account_id, self.campaign_id, f"{self.campaign_id} {self.sender}"


class Turns:
    """The lanes that have something waiting, what each has in use, and when it was served."""

    def __init__(self) -> None:
        self._waiting: dict[str, dict[str, dict[str, Lane]]] = {}
        self._in_use: Counter[str] = Counter()
        self._served: dict[str, int] = {}
        self._picks = 0

    def listed(self, lanes: Iterable[Lane]) -> None:
        """These lanes have something waiting, and no others."""
        self._waiting = {}
        self.add(lanes)
        if len(self._served) > FORGET_BEYOND:
            self._served.clear()

    def add(self, lanes: Iterable[Lane]) -> None:
        """These have something waiting, too."""
        for lane in lanes:
            account, campaign, name = lane.path
            self._waiting.setdefault(account, {}).setdefault(campaign, {})[name] = lane

    def has(self, lane: Lane) -> bool:
        """Whether something is known to wait there."""
        account, campaign, name = lane.path
        return name in self._waiting.get(account, {}).get(campaign, {})

    def drained(self, lane: Lane) -> None:
        """Nothing waits there any more, until it is listed again."""
        account, campaign, name = lane.path
        campaigns = self._waiting.get(account, {})
        lanes = campaigns.get(campaign, {})
        lanes.pop(name, None)
        if not lanes:
            campaigns.pop(campaign, None)
        if not campaigns:
            self._waiting.pop(account, None)

    def landed(self, lane: Lane, count: int = 1) -> None:
        """Connections that were picked for the lane are free again, used or not."""
        for name in lane.path:
            self._in_use[name] -= count
            if not self._in_use[name]:
                del self._in_use[name]

    def pick(self, count: int, may: Callable[[Lane], bool]) -> Counter[Lane]:
        """Up to `count` connections, one after the other, to the lanes whose turn it is; they are in use from now on.

        `may` is asked once for each, and takes what it allows; a lane that may not is passed over, and asked no more.
        """
        picked: Counter[Lane] = Counter()
        accounts = self._ranked(self._waiting)
        campaigns: dict[str, list[Rank]] = {}
        lanes: dict[str, list[Rank]] = {}
        while count > 0 and accounts:
            account = accounts[0][2]
            lane = self._next_of(account, campaigns, lanes, may)
            if lane is None:
                heappop(accounts)
                continue
            self._serve(lane)
            heapreplace(accounts, self._rank(account))
            picked[lane] += 1
            count -= 1
        return picked

    def _next_of(
        self, account: str, of_account: dict[str, list[Rank]], of_campaign: dict[str, list[Rank]],
        may: Callable[[Lane], bool],
    ) -> Lane | None:  # fmt: skip
        """The account's lane whose turn it is, and that may; None when none may."""
        campaigns = _once(of_account, account, lambda: self._ranked(self._waiting[account]))
        while campaigns:
            campaign = campaigns[0][2]
            waiting = self._waiting[account][campaign]
            lanes = _once(of_campaign, campaign, lambda waiting=waiting: self._ranked(waiting))  # type: ignore[misc]
            while lanes:
                lane = waiting[lanes[0][2]]
                if may(lane):
                    heapreplace(lanes, self._next_rank(lanes[0][2]))
                    heapreplace(campaigns, self._next_rank(campaign))
                    return lane
                heappop(lanes)
            heappop(campaigns)
        return None

    def _serve(self, lane: Lane) -> None:
        self._picks += 1
        for name in lane.path:
            self._in_use[name] += 1
            self._served[name] = self._picks

    def _ranked(self, names: Iterable[str]) -> list[Rank]:
        ranks = [self._rank(name) for name in names]
        heapify(ranks)
        return ranks

    def _rank(self, name: str) -> Rank:
        return self._in_use.get(name, 0), self._served.get(name, 0), name

    def _next_rank(self, name: str) -> Rank:
        """Its rank once it has been served, which happens right after."""
        return self._in_use.get(name, 0) + 1, self._picks + 1, name


def _once(known: dict[str, list[Rank]], name: str, make: Callable[[], list[Rank]]) -> list[Rank]:
    if name not in known:
        known[name] = make()
    return known[name]
