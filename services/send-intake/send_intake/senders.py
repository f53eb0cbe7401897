"""Which of a campaign's numbers a person is texted from."""

from collections.abc import Sequence
from hashlib import blake2b


def choose(person_id: str, senders: Sequence[str], first: str | None) -> str:
    """The sender this person saw first, if it is among the campaign's; else one that follows from person and senders.

    Rendezvous hashing: over many persons each sender gets an even share, a sender that is added takes its share from
    all the others alike, and whoever does not move to it keeps theirs. So a person who meets a campaign without their
    first sender gets the same stand-in from the next one of its kind.
    """
    if first is not None and first in senders:
        return first
    if len(senders) == 1:
        return senders[0]
    return max(senders, key=lambda sender: (_draw(person_id, sender), sender))


def _draw(person_id: str, sender: str) -> bytes:
    return blake2b(f"{sender} {person_id}".encode(), digest_size=8).digest()
