"""STARTs that their carrier brings again, for we did not take them: each is as old as when it first came.

Else one that comes again after a STOP would lift it, though the STOP was the last that the person said.
"""

from datetime import datetime, timedelta

from dispatcher.provider import SMPP, Inbound

KEPT_FOR = timedelta(hours=24)  # for so long a carrier brings again what was not taken
MOST = 10_000

Name = tuple[str, ...]


def name_of(provider: str, inbound: Inbound) -> Name:
    """By what it is known when it comes again: the carrier's id, or, where the protocol has none, all that it says."""
    if provider == SMPP:
        return provider, inbound.number, inbound.sender, inbound.body
    return provider, inbound.carrier_message_id


class Unanswered:
    """In one process's memory, the oldest first. One that comes again and again keeps its first time."""

    def __init__(self) -> None:
        self._first: dict[Name, datetime] = {}

    def note(self, name: Name, at: datetime) -> None:
        """It came `at` and was not taken, or nobody could say so."""
        self._forget(at)
        self._first.setdefault(name, at)
        if len(self._first) > MOST:
            del self._first[next(iter(self._first))]

    def since(self, name: Name, now: datetime) -> datetime:
        """When what comes now came first."""
        self._forget(now)
        return self._first.get(name, now)

    def _forget(self, now: datetime) -> None:
        while self._first and now - next(iter(self._first.values())) > KEPT_FOR:
            del self._first[next(iter(self._first))]
