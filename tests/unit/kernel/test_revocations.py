"""Ended tokens are refused as long as they would have lived, and then forgotten."""

import pytest
from kernel.revocations import Revocations

NOW = 1_000_000.0


@pytest.fixture
def revocations(monkeypatch: pytest.MonkeyPatch) -> Revocations:
    monkeypatch.setattr("time.time", lambda: NOW)
    return Revocations("")


def test_an_ended_token_is_among_them_and_no_other(revocations: Revocations) -> None:
    revocations.add("a", NOW + 10)
    assert "a" in revocations and "b" not in revocations


def test_what_has_expired_need_not_be_remembered(revocations: Revocations, monkeypatch: pytest.MonkeyPatch) -> None:
    revocations.add("over", NOW)
    revocations.add("short", NOW + 10)
    revocations.add("long", NOW + 1000)
    assert "over" not in revocations
    monkeypatch.setattr("time.time", lambda: NOW + 10)
    revocations.prune()
    assert "short" not in revocations and "long" in revocations


def test_nobody_is_let_in_before_they_are_known(revocations: Revocations) -> None:
    assert not revocations.known
