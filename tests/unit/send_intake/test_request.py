"""What a manager asks for when creating a campaign, and why it is refused."""

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from kernel.testing import NOON
from send_intake.request import MAX_SENDERS, NewCampaign, Refusal, read_campaign

HOUR = timedelta(hours=1)
T = NOON + HOUR


def asked(**more: Any) -> Any:
    nothing = {"scheduled_for": None, "sender": None, "senders": None, "useful_until": None}
    return SimpleNamespace(**{"name": "Spring", "text": "Hi.", **nothing, **more})


def read(**more: Any) -> NewCampaign | Refusal:
    return read_campaign(asked(**more), NOON, "US")


@pytest.mark.parametrize(
    ("given", "senders"),
    [
        ({}, ()),
        ({"sender": "(844) 555-0100"}, ("+18445550100",)),
        ({"senders": ["+18445550100"]}, ("+18445550100",)),
        ({"senders": ["+18445550102", "844-555-0101", "+1 844 555 0102"]}, ("+18445550102", "+18445550101")),
        ({"senders": None, "sender": None}, ()),
    ],
)
def test_its_senders_are_read_as_numbers_each_once_in_their_order(given: Any, senders: tuple[str, ...]) -> None:
    found = read(**given)
    assert isinstance(found, NewCampaign) and found.senders == senders


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"sender": "+18445550100", "senders": ["+18445550100"]}, "sender_and_senders"),
        ({"sender": "+18445550100", "senders": []}, "sender_and_senders"),
        ({"senders": []}, "no_senders"),
        ({"senders": ["+18445550100", "not a number"]}, "bad_sender"),
        ({"senders": [""]}, "bad_sender"),
        ({"senders": [f"+1844555{n:04d}" for n in range(100, 101 + MAX_SENDERS)]}, "too_many_senders"),
    ],
)
def test_senders_that_cannot_be_are_refused_with_a_code(given: Any, code: str) -> None:
    found = read(**given)
    assert isinstance(found, Refusal) and found.code == code and found.detail


@pytest.mark.parametrize(
    ("until", "scheduled_for", "code"),
    [
        (NOON - HOUR, None, "time_in_past"),
        (NOON, None, "time_in_past"),
        (T, T, "useful_until_too_early"),
        (T - HOUR / 2, T, "useful_until_too_early"),
        ("tomorrow", None, "bad_time"),
        ("2026-03-02T12:00:00", None, "time_without_offset"),
    ],
)
def test_a_latest_useful_time_that_nothing_could_keep_is_refused(until: Any, scheduled_for: Any, code: str) -> None:
    text = until if isinstance(until, str) else until.isoformat()
    found = read(useful_until=text, scheduled_for=scheduled_for and scheduled_for.isoformat())
    assert isinstance(found, Refusal) and found.code == code and "useful_until" in found.detail


@pytest.mark.parametrize("scheduled_for", [None, T])
def test_a_latest_useful_time_lies_ahead_and_after_t(scheduled_for: Any) -> None:
    until = T + timedelta(microseconds=1)
    found = read(useful_until=until.isoformat(), scheduled_for=scheduled_for and scheduled_for.isoformat())
    assert isinstance(found, NewCampaign) and (found.scheduled_for, found.useful_until) == (scheduled_for, until)
