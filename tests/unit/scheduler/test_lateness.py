"""How late messages went, a chunk at a time."""

from hypothesis import given
from hypothesis import strategies as st
from scheduler.lateness import BOUNDS, Lateness

chunks = st.lists(st.tuples(st.floats(0, 1000), st.integers(1, 5000)), min_size=1, max_size=30)


def test_nothing_says_nothing() -> None:
    assert Lateness().summary() == {"messages": 0, "p50_s": None, "p99_s": None, "max_s": None}


def test_a_few_late_ones_show_in_the_maximum_and_not_in_the_middle() -> None:
    lateness = Lateness()
    lateness.add(0.010, 9_900)
    lateness.add(7.0, 100)
    assert lateness.summary() == {"messages": 10_000, "p50_s": 0.016, "p99_s": 0.016, "max_s": 7.0}


@given(chunks)
def test_a_quantile_is_the_bucket_that_holds_it(chunks: list[tuple[float, int]]) -> None:
    lateness = Lateness()
    for late_s, messages in chunks:
        lateness.add(late_s, messages)
    every = sorted(late_s for late_s, messages in chunks for _ in range(messages))
    for share in (0.5, 0.99, 1.0):
        exact = every[max(0, -(-int(share * len(every) * 100) // 100) - 1)]
        found = lateness.quantile(share)
        assert found is not None
        assert exact <= found * (1 + 1e-9) and (found <= 2 * exact or found <= BOUNDS[0])


@given(chunks)
def test_buckets_grow_to_the_number_of_messages(chunks: list[tuple[float, int]]) -> None:
    lateness = Lateness()
    for late_s, messages in chunks:
        lateness.add(late_s, messages)
    counts = [count for _, count in lateness.buckets()]
    assert counts == sorted(counts)
    assert counts[-1] == sum(messages for _, messages in chunks)
    assert lateness.buckets()[-1][0] == "+Inf"
