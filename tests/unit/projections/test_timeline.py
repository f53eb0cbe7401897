"""Where events lie, packed; and what they say, in order."""

import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from projections.timeline import ENTRY_BYTES, TOPIC_CODES, Place, count, facts, merge, pack, unpack

from schemas.topics import TOPICS
from tests.unit.projections.life import Life

ADA = Life()
places = st.builds(
    Place,
    st.uuids().map(str),
    st.sampled_from(TOPIC_CODES),
    st.integers(0, 2**16 - 1),
    st.integers(0, 2**63 - 1),
)


@given(st.lists(places, unique_by=lambda place: place.event_id))
def test_a_history_gives_back_what_went_in(wanted: list[Place]) -> None:
    history = merge(b"", [pack(*place) for place in wanted])
    assert sorted(unpack(history)) == sorted(wanted)
    assert count(history) == len(wanted) == len(history) // ENTRY_BYTES


@given(st.lists(places, max_size=8), st.randoms())
def test_a_history_is_the_same_in_any_order_and_batching(wanted: list[Place], chance: Any) -> None:
    entries = [pack(*place) for place in wanted]
    other = entries + entries[::2]
    chance.shuffle(other)
    middle = chance.randrange(len(other) + 1)
    assert merge(merge(b"", other[:middle]), other[middle:]) == merge(b"", entries)


def test_a_repeated_event_is_kept_where_it_was_first() -> None:
    first, again = (pack(ADA.added().event_id, "recipients", 3, offset) for offset in (7, 900))
    assert merge(merge(b"", [again]), [first]) == merge(first, [again]) == first


def test_the_codes_name_every_topic() -> None:
    assert set(TOPIC_CODES) == set(TOPICS)


def test_a_timeline_tells_each_event_once_as_it_happened() -> None:
    life = [ADA.created(), ADA.added(), ADA.processed(), ADA.released(), ADA.attempted(), ADA.unresolved(),
            ADA.accepted(), ADA.not_delivered(), ADA.delivered()]  # fmt: skip
    mixed = life + life
    random.Random(7).shuffle(mixed)
    told = facts(mixed, {})
    assert [fact["event"] for fact in told] == [type(event).__name__ for event in life]
    assert list(told[0])[:5] == ["event_id", "event", "occurred_at", "actor", "caused_by"]


def test_a_timeline_says_which_text_and_why() -> None:
    told = {fact["event"]: fact for fact in facts([ADA.processed(), ADA.not_delivered()], {})}
    assert told["RecipientProcessed"]["text"] == "Hello Ada"
    assert told["MessageNotDelivered"]["reason_code"] == "landline"
    assert "landline" in told["MessageNotDelivered"]["reason"]


def test_a_timeline_does_not_repeat_what_was_asked_for() -> None:
    assert not {"account_id", "campaign_id", "recipient_id", "person_id"} & set(facts([ADA.added()], {})[0])


def test_a_timeline_opens_what_it_has_the_keys_for() -> None:
    life = Life(sealed=True)
    keys = {life.person_id: life.key}
    added, processed, out = facts([life.added(), life.processed(), life.opted_out(20)], keys)
    assert added["columns"] == life.columns and "cells" not in added
    assert (processed["number"], processed["text"], out["evidence"]) == (life.number, "Hello Ada", "STOP")
    added, processed = facts([life.added(), life.processed()], {})
    assert (added["number"], added["columns"], processed["text"]) == (None, None, None)
    (plain,) = facts([ADA.added()], {})
    assert plain["columns"] == ADA.columns, "as version 0.1.0 wrote it"
