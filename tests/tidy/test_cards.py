"""What a card calls operational is what a replay leaves out, and nothing else."""

import re

import pytest
from handsent.replay import REBUILT
from kernel.replay_tables import OF_KERNEL

from tests.tidy.tree import ROOT, SERVICES

NAME = re.compile(r"`(\w+)`")
KEPT_ELSEWHERE = {"owners"}  # a sequence


def operational(card: str) -> set[str]:
    """The tables in rows that are headed, or marked, `operational`."""
    owns = card.split("\n## Owns\n")[1].split("\n## ")[0]
    names: set[str] = set()
    for table in re.findall(r"(?:^\|.*\n)+", owns, flags=re.MULTILINE):
        head, _, *rows = table.splitlines()
        rows = rows if head.startswith("| operational |") else [row for row in rows if "| operational |" in row]
        names |= {name for row in rows for name in NAME.findall(row.split("|")[1])}
    return names - OF_KERNEL - KEPT_ELSEWHERE


@pytest.mark.parametrize("service", SERVICES)
def test_what_a_card_calls_operational_is_not_compared(service: str) -> None:
    card = (ROOT / "services" / service / "README.md").read_text()
    tables = {name for name in REBUILT[service].operational if "." not in name}
    assert operational(card) == tables


@pytest.mark.parametrize("service", SERVICES)
def test_a_column_that_is_not_compared_is_named_in_the_card(service: str) -> None:
    owns = (ROOT / "services" / service / "README.md").read_text().split("\n## Owns\n")[1].split("\n## ")[0]
    columns = {name.partition(".")[2] for name in REBUILT[service].operational if "." in name}
    assert columns <= set(NAME.findall(owns))
