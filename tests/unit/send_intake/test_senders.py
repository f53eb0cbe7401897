"""Which number a person is texted from: even over many, the same for each, whatever is added."""

from collections import Counter
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from send_intake.senders import choose

persons = st.uuids().map(str)
numbers = st.integers(0, 9999).map("+1844555{:04d}".format)
several = st.lists(numbers, min_size=1, max_size=50, unique=True)


@given(persons, several, st.data())
def test_a_person_keeps_the_sender_they_saw_first(person: str, senders: list[str], data: st.DataObject) -> None:
    first = data.draw(st.sampled_from(senders))
    assert choose(person, senders, first) == first


@given(persons, several, st.none() | numbers)
def test_whom_the_campaign_has_not_is_chosen_by_person_and_senders_alone(
    person: str, senders: list[str], first: str | None
) -> None:
    chosen = choose(person, senders, first)
    assert chosen in senders
    assert chosen == first or chosen == choose(person, senders[::-1], None)


@given(persons, several, numbers)
def test_a_sender_that_is_added_takes_people_and_moves_none_between_the_others(
    person: str, senders: list[str], added: str
) -> None:
    assert choose(person, [*senders, added], None) in (choose(person, senders, None), added)


@given(persons, several, st.data())
def test_a_sender_that_is_taken_away_moves_nobody_but_its_own(
    person: str, senders: list[str], data: st.DataObject
) -> None:
    chosen, taken = choose(person, senders, None), data.draw(st.sampled_from(senders))
    left = [sender for sender in senders if sender != taken]
    if taken != chosen:
        assert choose(person, left, None) == chosen


def test_each_sender_has_its_share() -> None:
    senders = [f"+1844555{n:04d}" for n in range(10)]
    shares = Counter(choose(str(UUID(int=n * 2**64)), senders, None) for n in range(20_000))
    assert set(shares) == set(senders)
    assert all(1800 <= share <= 2200 for share in shares.values()), shares  # 2000, within five standard deviations


def test_the_choice_stays_what_it_is() -> None:
    """Another version that chose otherwise would text people from a number they do not know."""
    senders = ["+18445550100", "+18445550101", "+18445550102"]
    assert [choose(str(UUID(int=n)), senders, None)[-1] for n in range(12)] == list("222210002222")
