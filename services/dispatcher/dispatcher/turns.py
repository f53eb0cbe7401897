"""Whose turn it is: campaigns are served one message each in turn, however many each has waiting.

Every message gets a turn when it is queued, and the lowest turn is served first. A campaign's messages get
consecutive turns, from where its lane ended or from the turn being served now, whichever is later. So a million
messages of one campaign take the turns 1 to 1,000,000, and another campaign's next message gets the turn that is
being served: it goes next.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence


def counted(campaigns: Iterable[str]) -> list[tuple[str, int]]:
    """How many turns each campaign needs, in the order in which lanes are locked."""
    return sorted(Counter(campaigns).items())


def dealt(campaigns: Sequence[str], first: Mapping[str, int]) -> list[int]:
    """The turn of each message, where `first` is the first turn of each campaign's share."""
    upcoming = dict(first)
    turns = []
    for campaign_id in campaigns:
        turns.append(upcoming[campaign_id])
        upcoming[campaign_id] += 1
    return turns
