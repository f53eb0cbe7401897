"""Phone numbers for tests that share a carrier and a database: each is handed out once in a run."""

import random

# The simulator's habits go by a number's last digits, below 1000; 777 and 778 are the senders' exchanges.
_people = (
    f"+1202{digits}"
    for digits in random.sample(range(2_001_000, 9_990_000), 200_000)
    if digits % 10_000 >= 1000 and digits // 10_000 not in (777, 778)
)
_senders = (f"+1202{digits}" for digits in random.sample(range(7_771_000, 7_790_000), 19_000))


def a_person() -> str:
    """A number of nobody's, without habits."""
    return next(_people)


def a_sender() -> str:
    """A number that no other campaign sends from: whose it is decides whose the replies to it are."""
    return next(_senders)
