"""Which number each press is texted from: the one the person was first SENT from, remembered with their first press."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from kernel.database import Connection

from send_intake.admission import Press, Sealed
from send_intake.senders import choose
from send_intake.store import q


class Overtaken(Exception):
    """Another SEND of the person came first, and says that it was later: done again, this one reads a later time."""


class Pressed(NamedTuple):
    """A press that counted, at its time."""

    person_id: str
    at: datetime
    recipient_id: str
    press: Press
    sealed: Sealed

    @property
    def choice(self) -> str:
        """The number if nobody has SENT the person anything."""
        return choose(self.person_id, self.press.campaign.senders, None)


async def senders_of(connection: Connection, pressed: Sequence[Pressed]) -> dict[str, str]:
    """The number for each recipient, in the presses' transaction. Raises Overtaken.

    Persons are locked in order, behind all recipients: two batches never wait for each other in a ring.
    """
    new = sorted(one for one in pressed if one.sealed.first_sender is None)
    first = {one.person_id: one.sealed.first_sender for one in pressed}
    if new:
        first |= await _first(connection, new)
    return {
        one.recipient_id: choose(one.person_id, one.press.campaign.senders, first[one.person_id]) for one in pressed
    }


async def _first(connection: Connection, new: Sequence[Pressed]) -> dict[str, str]:
    """The first senders of persons who had none a moment ago."""
    mine = await connection.fetch(
        q.keep_first_senders,
        [one.person_id for one in new],
        [one.press.campaign.account_id for one in new],
        [one.choice for one in new],
        [one.at for one in new],
    )
    first = {row["person_id"]: row["sender"] for row in mine}
    beaten = {one.person_id: one.at for one in reversed(new) if one.person_id not in first}
    if beaten:
        theirs = await connection.fetch(q.first_senders, list(beaten))
        if any(row["since"] >= beaten[row["person_id"]] for row in theirs):
            raise Overtaken
        first |= {row["person_id"]: row["sender"] for row in theirs}
    return first
