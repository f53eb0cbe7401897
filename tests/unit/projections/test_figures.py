"""The numbers of Progress add up after every event."""

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from projections.changes import changes
from projections.figures import SUMS, leaves_of, numbers
from projections.progress import State, new_row, project

from tests.unit.projections.life import Life

PEOPLE = [Life(number=f"+1202555010{n}") for n in range(4)]
ANYTHING = [event for person in PEOPLE for event in person.all_about_it()]


@given(st.lists(st.sampled_from(ANYTHING), max_size=40))
def test_the_sums_hold_after_every_event(events: list[Any]) -> None:
    rows: dict[str, Any] = {}
    leaves: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    for event in events:
        before = rows.get(event.recipient_id)
        after = rows[event.recipient_id] = project(before or new_row(event), event)
        change = changes([(before, after, 1)])[event.campaign_id]
        leaves.update(change.leaves)
        failures.update(change.failed_by_reason)
        told = numbers(leaves)
        assert told["recipients"] == len(rows) == told["unprocessed"] + told["processed"]
        assert told["processed"] == told["waiting"] + told["suppressed"] + told["dropped"] + told["sent"]
        assert told["sent"] == told["delivered"] + told["not_delivered"]
        assert told["not_delivered"] == sum(told[n] for n in ("failed", "awaiting", "unconfirmed", "unknown"))
        assert sum(failures.values()) == told["failed"]
        assert min([*leaves.values(), *failures.values()]) >= 0


def test_a_campaign_without_recipients_has_zeros() -> None:
    assert set(numbers({}).values()) == {0}
    assert len(numbers({})) == len(State) + len(SUMS)


def test_every_number_can_be_filtered_by_and_nothing_else() -> None:
    assert leaves_of("failed") == ["failed"]
    assert leaves_of("sent") == ["delivered", "failed", "awaiting", "unconfirmed", "unknown"]
    assert sorted(leaves_of("recipients") or []) == sorted(State)
    assert leaves_of("asleep") is None


def test_changes_of_several_campaigns_stay_apart() -> None:
    lives = [Life(campaign="spring"), Life(campaign="autumn"), Life(campaign="spring", number="+12025550199")]
    moves = [(None, project(new_row(life.added()), life.added()), 1) for life in lives]
    found = changes(moves)
    assert {id_: (c.leaves["unprocessed"], c.events) for id_, c in found.items()} == {
        lives[0].campaign_id: (2, 2),
        lives[1].campaign_id: (1, 1),
    }
