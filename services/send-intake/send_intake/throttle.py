"""How often a password may be tried: so many at once, then one each so often; every try is paid for beforehand.

A single time says it all: how far the tries are spent. Five a minute apart spend five minutes; as time catches up with
it, tries come back. Paying first means that a thousand tries at the same moment are no way around it.
"""

from datetime import datetime, timedelta
from typing import NamedTuple


class Limit(NamedTuple):
    """`burst` tries at once; one more after each `every`."""

    burst: int
    every: timedelta


class Wait(NamedTuple):
    """Too many tries: the next one counts after so long."""

    time: timedelta


PER_NAME = Limit(5, timedelta(minutes=1))  # of one address: a stranger's tries are not its owner's
PER_NAME_ANYWHERE = Limit(100, timedelta(seconds=10))  # of all addresses: neither guessed nor soon shut out
PER_ADDRESS = Limit(60, timedelta(seconds=2))  # a whole office may sit behind one


def spend(spent_until: datetime, now: datetime, limit: Limit) -> datetime | Wait:
    """How far tries are spent after one more, or how long to wait for it."""
    after = max(spent_until, now) + limit.every
    over = after - now - limit.burst * limit.every
    return Wait(over) if over > timedelta(0) else after
