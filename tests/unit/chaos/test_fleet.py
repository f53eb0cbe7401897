"""The check of a small campaign against the ledger sees what it is there for."""

from datetime import datetime, timedelta
from typing import Any

from kernel.testing import NOON

from tests.chaos.fleet import Small, wrong
from tests.e2e.people import Campaign

T = NOON
SENT, UNSENT = "+12125551000", "+12125551001"


def small(end: datetime | None, due: datetime = T) -> Small:
    answer = {"ended_at": end.isoformat().replace("+00:00", "Z")} if end else None
    return Small(Campaign("an id", "a name", "+18445550100"), T, [SENT, UNSENT], {SENT: due}, end=answer)


def line(number: str = SENT, at: datetime = T, accepted: bool = True) -> dict[str, Any]:
    return {"to": number, "accepted": accepted, "received_at": at.isoformat().replace("+00:00", "Z")}


BEFORE, AFTER = T - timedelta(microseconds=1), T + timedelta(seconds=1)


def test_what_is_as_it_must_be() -> None:
    assert wrong(small(None), [line()]) == wrong(small(T), [line()]) == wrong(small(AFTER), [line()]) == []
    assert wrong(small(BEFORE), []) == []
    assert small(BEFORE).leaves["dropped"] == small(T).leaves["delivered"] == 1


def test_nobody_is_texted_after_an_end_before_t() -> None:
    assert wrong(small(BEFORE), [line(accepted=False)])


def test_nobody_is_lost_texted_twice_or_too_early_and_nobody_else_is_texted() -> None:
    assert wrong(small(T), [])
    assert wrong(small(T), [line(accepted=False)])
    assert wrong(small(T), [line(), line()])
    assert wrong(small(T), [line(at=BEFORE)])
    assert wrong(small(T), [line(), line(UNSENT)])


def test_a_send_answered_as_after_t_and_an_end_before_it_are_wrong() -> None:
    assert wrong(small(BEFORE, due=AFTER), [])
