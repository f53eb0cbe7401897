"""Histories of several campaigns, made up; and the log of them, as batches may bring it."""

import random
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st
from kernel.received import Received

from schemas.codec import key_of
from schemas.topics import TOPIC_OF
from tests.unit.projections.life import NOON, Life

ACCOUNTS = ("acme", "bolt")
NUMBERS = tuple(f"+1202555010{n}" for n in range(5))  # the same people in several campaigns
PARTITIONS = 2
Log = dict[tuple[str, int], list[Received]]


@st.composite
def histories(draw: st.DrawFn) -> list[Any]:
    """Everything that happened in one to three campaigns, in the order it happened."""
    names = draw(
        st.lists(st.tuples(st.sampled_from(ACCOUNTS), st.sampled_from("abc")), min_size=1, max_size=3, unique=True)
    )
    events: list[Any] = []
    for account, name in names:
        numbers = draw(st.lists(st.sampled_from(NUMBERS), min_size=1, max_size=4, unique=True))
        lives = [Life(name, number, account, position=n) for n, number in enumerate(numbers)]
        t = NOON + timedelta(minutes=9) if draw(st.booleans()) else None
        ended = draw(st.booleans())
        events += [lives[0].created(t), *([lives[0].ended()] if ended else [])]
        for life in lives:
            events += draw(_of_person(life))
            events += draw(_story(life, dropped=ended and t is not None) | _anything(life))
    once = {event.event_id: event for event in events}
    return sorted(once.values(), key=lambda event: event.occurred_at)


@st.composite
def _story(draw: st.DrawFn, life: Life, dropped: bool) -> list[Any]:
    """A recipient's life as the services let it happen, up to a point."""
    story: list[Any] = [life.added(), life.processed()]
    if dropped:
        story.append(life.dropped())
    else:
        story.append(life.released())
        story += draw(_attempts(life))
    return story[: draw(st.integers(1, len(story)))]


@st.composite
def _attempts(draw: st.DrawFn, life: Life) -> list[Any]:
    found: list[Any] = []
    for n in (1, 2, 3):
        if draw(st.integers(0, 5)) == 0:
            return [*found, life.suppressed()]
        found.append(life.attempted(n))
        if draw(st.booleans()):
            found.append(life.unresolved(n))
        if draw(st.booleans()):
            found.append(life.not_accepted(n))
            continue
        if draw(st.integers(0, 3)) == 0:
            return [*found, life.rejected(n)]
        receipts = (life.unconfirmed(n), life.not_delivered(n), life.delivered(n))
        return [*found, life.accepted(n), *(receipt for receipt in receipts if draw(st.booleans()))]
    return found


def _anything(life: Life) -> st.SearchStrategy[list[Any]]:
    """Also what contradicts itself."""
    return st.lists(st.sampled_from(life.all_about_it(3)), min_size=1, max_size=12)


def _of_person(life: Life) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.sampled_from([life.opted_out(), life.opted_in(), life.opted_out(2), life.erased()]), max_size=3)


def log_of(events: list[Any], chance: random.Random) -> Log:
    """The events in the log, in the order given within each partition; some were published again, later."""
    found: Log = {}
    for event in [*events, *chance.sample(events, chance.randrange(len(events) + 1))]:
        topic = TOPIC_OF[type(event)].name
        partition = int.from_bytes(key_of(event) or b"") % PARTITIONS
        records = found.setdefault((topic, partition), [])
        records.append(Received(event, topic, partition, len(records)))
    return found


def batches(log: Log, chance: random.Random, most: int = 12) -> Iterator[list[Received]]:
    """The log in batches of any size, of one partition or several, ahead of each other by chance; some come twice."""
    at = dict.fromkeys(log, 0)
    while left := [position for position in sorted(log) if at[position] < len(log[position])]:
        batch: list[Received] = []
        for position in chance.sample(left, chance.randrange(1, len(left) + 1)):
            end = at[position] + chance.randrange(1, most)
            batch += log[position][at[position] : end]
            at[position] = end
        yield batch
        if chance.random() < 0.2:
            yield batch
