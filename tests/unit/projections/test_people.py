"""What is sealed, opened; and what is left of whom nobody can see any more."""

import pytest
from projections.people import person
from projections.progress import fold, new_row

from tests.unit.projections.life import Life

ADA, BOB = Life(sealed=True), Life(sealed=True, number="+12025550199")


def row_of(life: Life) -> tuple[str | None, str | None, str | None]:
    row = fold(new_row(life.added()), [life.added()])
    assert row.listed is not None
    return row.number, row.listed.columns, row.listed.cells


@pytest.mark.parametrize("life", [ADA, Life()], ids=["sealed", "as 0.1.0 wrote it"])
def test_a_row_opens_with_its_key(life: Life) -> None:
    found = person(ADA.key, *row_of(life))
    assert (found.phone, found.first_name, found.last_name, found.cells["City"]) == (
        life.number,
        "Ada",
        "Byron",
        "Bath",
    )


def test_without_the_key_there_is_nothing_but_headers() -> None:
    for key in (None, BOB.key):
        found = person(key, *row_of(ADA))
        assert (found.phone, found.cells) == (None, {"First Name": "", "last_name": "", "City": ""})


def test_a_row_that_is_not_listed_yet_says_what_it_knows() -> None:
    found = person(ADA.key, None, None, None)
    assert (found.phone, found.cells, found.first_name) == (None, {}, "")


def test_a_row_of_another_does_not_pass_for_ones_own() -> None:
    number, columns, cells = row_of(ADA)
    assert person(ADA.key, cells, columns, number) == person(None, *row_of(ADA)), "it is blank"
