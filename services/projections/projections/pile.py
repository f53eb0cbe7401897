"""Many events folded in memory, so that a row is written once, of however many events it is made."""

from collections.abc import Iterable
from typing import NamedTuple, get_args

from projections.progress import RecipientEvent, Row, new_row, project
from projections.timeline import count, merge, pack
from schemas import events as e

OF_RECIPIENTS = frozenset(get_args(RecipientEvent))
Known = tuple[Row, bytes]  # a row with the places of its events


class Irregular(ValueError):
    """The event is about no recipient, or of another campaign or account than the recipient's others."""


class Change(NamedTuple):
    """A row before, None for a new one, and after."""

    before: Known | None
    after: Known

    @property
    def move(self) -> tuple[Row | None, Row, int]:
        """As `changes.changes` counts it."""
        was, (row, history) = self.before, self.after
        return (was[0], row, count(history) - count(was[1])) if was else (None, row, count(history))


class Pile:
    """The rows of recipients as far as they are folded, beside what was known of them before."""

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}
        self._entries: dict[str, list[bytes]] = {}
        self._before: dict[str, Known] = {}
        self.lists: set[tuple[str, tuple[str, ...]]] = set()  # campaigns with the columns of a list of theirs

    def __len__(self) -> int:
        return len(self._rows)

    def lacks(self, recipient_ids: Iterable[str]) -> list[str]:
        """Those of them that would be begun anew: rows that exist must be put here first."""
        return sorted(set(recipient_ids) - self._rows.keys())

    def put(self, recipient_id: str, known: Known) -> None:
        self._rows[recipient_id], self._entries[recipient_id] = known[0], []
        self._before[recipient_id] = known

    def add(self, event: RecipientEvent, topic: str, partition: int, offset: int) -> None:
        """Raises Irregular."""
        if type(event) not in OF_RECIPIENTS:
            raise Irregular("the event is about no recipient")
        id_ = event.recipient_id
        row = self._rows.get(id_)
        if row is None:
            row, self._entries[id_] = new_row(event), []
        elif row.campaign_id != event.campaign_id or row.account_id != event.account_id:
            raise Irregular("the recipient belongs to another campaign or account")
        self._rows[id_] = project(row, event)
        self._entries[id_].append(pack(event.event_id, topic, partition, offset))
        if type(event) is e.RecipientAdded:
            self.lists.add((event.campaign_id, tuple(event.columns)))

    def changes(self) -> list[Change]:
        """The rows that are new or that an event has added to, in id order."""
        found = []
        for id_ in sorted(self._rows):
            before = self._before.get(id_)
            history = merge(before[1] if before else b"", self._entries[id_])
            if before is None or history != before[1]:
                found.append(Change(before, (self._rows[id_], history)))
        return found
