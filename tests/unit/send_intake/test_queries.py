"""Time is an input: what decides about T, SEND, END and the clock asks `host_time()`, which tests set."""

import re
from collections.abc import Iterator
from importlib import resources

import pytest
from send_intake.store import q

# Who sends what, and which rows were shown: no T, no END.
LAPSES = {"left_to_share", "start_sending", "own_claims", "claim_more"}
CLOCKS = re.compile(r"\b(clock_timestamp|statement_timestamp|transaction_timestamp|now|timeofday)\s*\(|\bcurrent_time")


def asking() -> Iterator[tuple[str, str]]:
    """(statement or migration, its text)."""
    yield from q._statements.items()
    text = resources.files("send_intake").joinpath("sql", "migrations", "0005_clock.sql").read_text()
    yield "0005_clock.sql", re.sub(r"--.*|RETURN clock_timestamp\(\);", "", text)


@pytest.mark.parametrize(("name", "text"), list(asking()), ids=lambda found: found if len(found) < 40 else "")
def test_no_decision_asks_the_host_directly(name: str, text: str) -> None:
    assert name in LAPSES or not CLOCKS.search(re.sub(r"--.*", "", text))
