"""How hard a sender presses its provider: the pace and the breaker of each sender, and the breaker of each provider."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from dispatcher.breaker import Breaker
from dispatcher.outcome import Outcome
from dispatcher.retry import Pace

UNLIMITED = 1_000_000


@dataclass(frozen=True, slots=True)
class Bounds:
    """`connections` is how many POSTs may be under way at most; the rest is the breakers' (`breaker.py`)."""

    connections: int
    failures: int
    longest_pause_s: float


class Pressure(NamedTuple):
    """How a sender, or (without one) a provider, is pressed now. `resumes_in_s` is 0 unless everything rests."""

    provider: str
    sender: str | None
    breaker: str  # closed, open, half_open
    in_use: int
    limit: int | None
    resumes_in_s: float


@dataclass(slots=True)
class _Gate:
    """A breaker, and the POSTs that are under way since it last opened."""

    breaker: Breaker
    since: float = float("-inf")
    flying: int = 0

    def room(self, now: float) -> int:
        if self.breaker.closed:
            return UNLIMITED
        return 0 if self.breaker.is_open(now) else 1 - self.flying

    def took(self, count: int) -> None:
        self.flying += count

    def landed(self, began: float) -> None:
        if began >= self.since:
            self.flying -= 1

    def learn(self, outcome: Outcome, sender: str, began: float, now: float, jitter: float) -> bool:
        """Whether it opened."""
        openings, self.breaker = self.breaker.openings, self.breaker.after(outcome, sender, began, now, jitter)
        if self.breaker.openings <= openings:
            return False
        self.since, self.flying = self.breaker.heed_from, 0
        return True

    def state(self, now: float) -> str:
        if self.breaker.closed:
            return "closed"
        return "open" if self.breaker.is_open(now) else "half_open"


@dataclass(slots=True)
class _Flow:
    """One sender's way to its provider."""

    gate: _Gate
    pace: Pace

    def room(self, now: float) -> int:
        if now < self.pace.resume_at:
            return 0
        return min(self.gate.room(now), self.pace.limit - self.gate.flying)


@dataclass(slots=True)
class Flows:
    """All of a process's. Times are monotonic seconds; `began` is when the licence for a POST was asked for."""

    bounds: Bounds
    _flows: dict[tuple[str, str], _Flow] = field(default_factory=dict)
    _providers: dict[str, _Gate] = field(default_factory=dict)

    def room(self, provider: str, sender: str, now: float) -> int:
        """How many more POSTs may begin."""
        return max(0, min(self._provider(provider).room(now), self._flow(provider, sender).room(now)))

    def took(self, provider: str, sender: str, count: int = 1) -> None:
        """So many were given a connection."""
        self._provider(provider).took(count)
        self._flow(provider, sender).gate.took(count)

    def landed(self, provider: str, sender: str, began: float) -> None:
        """One is over, or never began."""
        self._provider(provider).landed(began)
        self._flow(provider, sender).gate.landed(began)

    def learn(self, provider: str, sender: str, outcome: Outcome, began: float, now: float, jitter: float) -> bool:
        """What an outcome says of the carrier; whether it made something rest that did not before."""
        flow, before = self._flow(provider, sender), self._flow(provider, sender).pace
        flow.pace = before.after(outcome, now, jitter)
        opened = self._provider(provider).learn(outcome, sender, began, now, jitter)
        if flow.gate.learn(outcome, sender, began, now, jitter):
            flow.pace, opened = before.slowest(), True
        return opened or flow.pace.streak > before.streak

    def resumes_at(self, provider: str, sender: str) -> float:
        """When the rest that is known of is over; in the past if there is none."""
        flow, gate = self._flow(provider, sender), self._provider(provider)
        return max(flow.pace.resume_at, flow.gate.breaker.open_until or 0.0, gate.breaker.open_until or 0.0)

    def pressure(self, now: float) -> Iterator[Pressure]:
        """Providers, then senders, in the order of their names."""
        for provider, gate in sorted(self._providers.items()):
            rests = max(0.0, (gate.breaker.open_until or 0.0) - now)
            yield Pressure(provider, None, gate.state(now), gate.flying, None, rests)
        for (provider, sender), flow in sorted(self._flows.items()):
            rests = max(0.0, flow.pace.resume_at - now, (flow.gate.breaker.open_until or 0.0) - now)
            yield Pressure(provider, sender, flow.gate.state(now), flow.gate.flying, flow.pace.limit, rests)

    def _provider(self, provider: str) -> _Gate:
        if provider not in self._providers:
            self._providers[provider] = _Gate(self._breaker(senders=2))
        return self._providers[provider]

    def _flow(self, provider: str, sender: str) -> _Flow:
        if (provider, sender) not in self._flows:
            gate = _Gate(self._breaker(senders=1))
            self._flows[provider, sender] = _Flow(gate, Pace.full(self.bounds.connections))
        return self._flows[provider, sender]

    def _breaker(self, senders: int) -> Breaker:
        return Breaker(self.bounds.failures, self.bounds.longest_pause_s, senders)
