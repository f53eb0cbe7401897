"""However the log comes, rows and figures are those of the history in order, and they add up after every batch."""

import random
from collections import Counter
from collections.abc import Iterable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from kernel.received import Received
from projections.changes import Presses, changes
from projections.figures import numbers
from projections.progress import Row, State, fold, leaf, new_row

from tests.unit.projections.histories import batches, histories, log_of


class ReadModels:
    """What the fold keeps, without Postgres: rows, figures by campaign, and events by recipient."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.leaves: dict[str, Counter[str]] = {}
        self.reasons: dict[str, Counter[str]] = {}
        self.minutes: dict[str, Counter[Any]] = {}
        self.senders: dict[str, dict[str, Presses]] = {}
        self.events: Counter[str] = Counter()
        self._known: dict[str, set[str]] = {}

    def apply(self, batch: Iterable[Received]) -> None:
        of_each: dict[str, list[Any]] = {}
        for received in batch:
            if hasattr(received.event, "recipient_id"):
                of_each.setdefault(received.event.recipient_id, []).append(received.event)
        moves: list[tuple[Row | None, Row, int]] = []
        for recipient_id, events in of_each.items():
            before, known = self.rows.get(recipient_id), self._known.setdefault(recipient_id, set())
            after = self.rows[recipient_id] = fold(before or new_row(events[0]), events)
            moves.append((before, after, len({event.event_id for event in events} - known)))
            known |= {event.event_id for event in events}
        for campaign_id, change in changes(moves).items():
            self.leaves.setdefault(campaign_id, Counter()).update(change.leaves)
            self.reasons.setdefault(campaign_id, Counter()).update(change.failed_by_reason)
            self.minutes.setdefault(campaign_id, Counter()).update(change.minutes)
            known = self.senders.setdefault(campaign_id, {})
            known |= {id_: known[id_].joined(p) if id_ in known else p for id_, p in change.senders.items()}
            self.events[campaign_id] += change.events

    def told(self) -> Any:
        minutes = {id_: {at: n for at, n in found.items() if n} for id_, found in self.minutes.items()}
        figures = {id_: (numbers(leaves), +self.reasons[id_]) for id_, leaves in self.leaves.items()}
        return self.rows, self.events, figures, minutes, self.senders

    def check(self) -> None:
        """The sums of Progress hold, and each figure is a recount of the rows."""
        for campaign_id, leaves in self.leaves.items():
            rows = [leaf(row) for row in self.rows.values() if row.campaign_id == campaign_id]
            told, reasons = numbers(leaves), self.reasons[campaign_id]
            assert told["recipients"] == len(rows) == told["unprocessed"] + told["processed"]
            assert told["processed"] == told["waiting"] + told["suppressed"] + told["dropped"] + told["sent"]
            assert told["sent"] == told["delivered"] + told["not_delivered"]
            assert told["not_delivered"] == sum(told[n] for n in ("failed", "awaiting", "unconfirmed", "unknown"))
            assert {state: told[state] for state in State} == {s: [r[0] for r in rows].count(s) for s in State}
            assert +reasons == Counter(reason for state, reason in rows if state == State.FAILED)
            assert sum(reasons.values()) == told["failed"] and min(reasons.values(), default=0) >= 0
            self._check_minutes(campaign_id)

    def _check_minutes(self, campaign_id: str) -> None:
        """Every point of the figures over time is a count of people, and the last is what they are now."""
        leaves: Counter[str] = Counter()
        found = self.minutes[campaign_id]
        for minute in sorted({minute for minute, _ in found}):
            leaves.update({state: found[minute, state] for state in State})
            assert min(leaves.values()) >= 0
        assert +leaves == +self.leaves[campaign_id]


def in_order(events: list[Any]) -> ReadModels:
    models = ReadModels()
    for event in events:
        models.apply([Received(event, "", 0, 0)])
        models.check()
    return models


@settings(deadline=None, max_examples=60)
@given(histories(), st.randoms(use_true_random=False))
def test_any_interleaving_and_repetition_gives_what_the_order_gives(events: list[Any], chance: random.Random) -> None:
    models = ReadModels()
    for batch in batches(log_of(events, chance), chance):
        models.apply(batch)
        models.check()
    assert models.told() == in_order(events).told()


@settings(deadline=None, max_examples=60)
@given(histories(), st.randoms(use_true_random=False))
def test_even_out_of_order_within_a_partition(events: list[Any], chance: random.Random) -> None:
    shuffled = events * 2
    chance.shuffle(shuffled)
    assert in_order(shuffled).told() == in_order(events).told()
