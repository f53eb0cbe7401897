"""A receipt about a message that nobody here knows: when it is looked at again, and whose it can only be."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from dispatcher.attempt import State
from dispatcher.outcome import NAMELESS

FIRST = timedelta(seconds=1)
LONGEST = timedelta(hours=1)
FOR = timedelta(hours=72)


def next_look(received_at: datetime, now: datetime) -> datetime | None:
    """After a second, then when it is twice as old, at least hourly; None once it is three days old.

    A receipt that overtook the answer to its submission is applied within seconds, and one that is nobody's costs some
    ninety looks in all.
    """
    age = now - received_at
    return now + min(max(age, FIRST), LONGEST) if age < FOR else None


@dataclass(frozen=True, slots=True)
class Candidate:
    """An attempt at the person whom the receipt is about, from the sender that it names."""

    key: tuple[str, int]
    state: str
    carrier_message_id: str | None
    attempted_at: datetime

    @property
    def nameless(self) -> bool:
        """Whether the carrier may have taken it under an id that we have not seen."""
        return self.state in (State.OPEN, State.UNKNOWN) or self.carrier_message_id == NAMELESS


def adopt(id_: str, received_at: datetime, candidates: Sequence[Candidate], *, guess: bool) -> tuple[str, int] | None:
    """The attempt that the carrier means by this id: the one that has it.

    With `guess`, for carriers whose receipts cannot name an attempt, also one whose id no answer has told us: it is the
    unknown one, if there is one only and no other attempt may have been taken under an id that we have not
    seen: not one that is still open, for its answer may be on its way, nor one that an operator found to be accepted.
    """
    by_id = [one for one in candidates if one.carrier_message_id == id_]
    if by_id:
        return by_id[0].key
    nameless = [one for one in candidates if one.nameless and guess]
    if len(nameless) != 1 or nameless[0].state != State.UNKNOWN or nameless[0].attempted_at > received_at:
        return None
    return nameless[0].key
