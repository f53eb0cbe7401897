"""An intent licenses one POST: not when it is too old, and not past the message's latest useful time."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from dispatcher.app_intents import INTENT_LIFE_S, Intents, _Flight
from dispatcher.outcome import Accepted, NoAnswer, NotAccepted
from dispatcher.provider import TWILIO
from dispatcher.store_attempts import Proof
from dispatcher.store_intents import Intent
from dispatcher.turns import Lane

from schemas.reasons import NotAcceptedReason

HOUR = timedelta(hours=1)
SETTINGS: Any = SimpleNamespace(
    public_url="http://here", callback_key="a callback key", carrier_connections=8, useful_for=None,
    providers=(TWILIO,), key_life_s=86_400, repeat_after_s=15, limits=None, unknown_hold_s=0,
)  # fmt: skip


class Carrier:
    """It takes whatever comes; `texts` is what came."""

    def __init__(self) -> None:
        self.texts: list[Any] = []
        self.proofs: list[Proof] = []

    def named(self, _provider: str) -> "Carrier":
        return self

    @contextmanager
    def open(self, _key: Any) -> Iterator[Any]:
        yield lambda: None

    async def post(self, text: Any, _key: str, _leaving: Any) -> Any:
        self.texts.append(text)
        return NoAnswer.TIMEOUT

    def learn(self, _lane: Any, _outcome: Any, _began: float) -> None:
        """Of no interest here."""

    async def record(self, proof: Proof) -> None:
        self.proofs.append(proof)


@pytest.mark.parametrize(
    ("until", "age_s", "posted"),
    [
        (None, 0.0, True),
        (HOUR, 0.0, True),
        (-timedelta(microseconds=1), 0.0, False),
        (None, INTENT_LIFE_S + 1, False),
    ],
)
async def test_what_may_not_leave_any_more_is_known_not_to_have_left(
    until: timedelta | None, age_s: float, posted: bool
) -> None:
    carrier: Any = Carrier()
    nothing: Any = None
    intents = Intents(nothing, nothing, nothing, carrier, carrier, carrier, SETTINGS, asyncio.Event(), carrier, nothing)
    useful_until = None if until is None else datetime.now(UTC) + until
    rid = "11111111-1111-5111-8111-111111111111"
    intent = Intent(rid, 1, Lane("an account", "a campaign", "+18445550100"), TWILIO, b"Hi", useful_until=useful_until)
    await intents._post(_Flight(intent, time.monotonic() - age_s))
    [proof] = carrier.proofs
    assert len(carrier.texts) == posted
    assert not isinstance(proof.evidence, Accepted)
    if not posted:
        assert proof.evidence == NotAccepted(NotAcceptedReason.INTENT_EXPIRED)
        assert proof.not_before is None, "its next turn, which is now, says what is so"
