"""Events folded in memory give what they give one by one."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from projections.app_shares import BY_RECIPIENT, deal
from projections.changes import changes
from projections.pile import Irregular, Pile
from projections.progress import fold, new_row
from projections.timeline import merge, pack

from schemas.topics import TOPIC_OF
from tests.unit.projections.life import Life

LIVES = [Life(number=f"+120255501{n:02d}", sealed=True) for n in range(3)]
EVENTS = st.lists(st.sampled_from([event for life in LIVES for event in life.all_about_it()]), max_size=30)


def added(pile: Pile, events: list[Any]) -> Pile:
    for offset, event in enumerate(events):
        pile.add(event, TOPIC_OF[type(event)].name, 0, offset)
    return pile


@given(EVENTS)
def test_a_pile_of_events_is_their_fold(events: list[Any]) -> None:
    found = {change.after[0].recipient_id: change for change in added(Pile(), events).changes()}
    for id_ in {event.recipient_id for event in events}:
        own = [(offset, event) for offset, event in enumerate(events) if event.recipient_id == id_]
        places = [pack(event.event_id, TOPIC_OF[type(event)].name, 0, offset) for offset, event in own]
        row = fold(new_row(own[0][1]), (event for _, event in own))
        assert found.pop(id_) == (None, (row, merge(b"", places)))
    assert found == {}


@given(EVENTS, st.integers(0, 30))
def test_two_piles_are_one(events: list[Any], at: int) -> None:
    """What was committed before is recalled, and what the rest changes is counted once."""
    first, rest = added(Pile(), events[:at]).changes(), Pile()
    for change in first:
        rest.put(change.after[0].recipient_id, change.after)
    for offset, event in enumerate(events[at:], len(events[:at])):
        rest.add(event, TOPIC_OF[type(event)].name, 0, offset)
    then = {change.after[0].recipient_id: change.after for change in [*first, *rest.changes()]}
    whole = added(Pile(), events).changes()
    assert then == {change.after[0].recipient_id: change.after for change in whole}
    moved = changes(change.move for change in [*first, *rest.changes()])
    at_once = changes(change.move for change in whole)
    assert {id_: (+c.leaves, +c.failed_by_reason, c.events) for id_, c in moved.items()} == {
        id_: (+c.leaves, +c.failed_by_reason, c.events) for id_, c in at_once.items()
    }


def test_who_is_not_in_the_pile_must_be_recalled_first() -> None:
    pile = added(Pile(), [LIVES[0].added()])
    assert pile.lacks([life.recipient_id for life in LIVES[:2]]) == [LIVES[1].recipient_id]
    assert len(pile) == 1


def test_a_recipient_of_two_campaigns_is_irregular_and_so_is_what_is_about_none() -> None:
    pile = added(Pile(), [LIVES[0].added()])
    stranger = Life(campaign="autumn", number=LIVES[0].number, sealed=True).added()
    object.__setattr__(stranger, "recipient_id", LIVES[0].recipient_id)
    for event in (stranger, LIVES[0].created()):
        with pytest.raises(Irregular):
            added(pile, [event])


def test_partitions_of_one_number_go_to_one_worker() -> None:
    counts = dict.fromkeys([*BY_RECIPIENT, "campaigns"], 4)
    spans = {(topic, n): (0, 9) for topic in counts for n in range(4)} | {("receipts", 3): (9, 9)}
    dealt = deal(spans, counts, 3)
    assert [{n for _, n in share} for share in dealt] == [{0, 3}, {1}, {2}]
    assert sum(len(share) for share in dealt) == 4 * len(BY_RECIPIENT) - 1
    assert all(topic in BY_RECIPIENT for share in dealt for topic, _ in share)
    assert deal(spans, counts | {"receipts": 5}, 3) == []
