"""An intent licenses one POST: not when it is too old, and not past the message's latest useful time."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from dispatcher import app_intents, app_lanes
from dispatcher.app_connections import Connections
from dispatcher.app_intents import INTENT_LIFE_S, Intents, _Flight
from dispatcher.app_lanes import Lanes
from dispatcher.budget import Limits
from dispatcher.flow import Bounds
from dispatcher.outcome import Accepted, Answer, NoAnswer, NotAccepted, Said, Unknown
from dispatcher.provider import TELNYX, TWILIO
from dispatcher.routing import Routing
from dispatcher.store_attempts import Proof
from dispatcher.store_intents import Intent
from dispatcher.store_repeats import Room
from dispatcher.turns import Lane

from schemas.reasons import NotAcceptedReason, UnresolvedReason

HOUR = timedelta(hours=1)
RID, LANE = "11111111-1111-5111-8111-111111111111", Lane("an account", "a campaign", "+18445550100")
SETTINGS: Any = SimpleNamespace(
    public_url="http://here", callback_key="a callback key", carrier_connections=8, useful_for=None,
    providers=(TWILIO,), key_life_s=86_400, repeat_after_s=15, limits=None, unknown_hold_s=0,
)  # fmt: skip


class Carrier:
    """It takes whatever comes; `texts` is what came."""

    def __init__(self) -> None:
        self.texts: list[Any] = []
        self.proofs: list[Proof] = []
        self.says: Any = NoAnswer.TIMEOUT

    def named(self, _provider: str) -> "Carrier":
        return self

    @contextmanager
    def open(self, _key: Any) -> Iterator[Any]:
        yield lambda: None

    async def post(self, text: Any, _key: str, _leaving: Any) -> Any:
        self.texts.append(text)
        return self.says

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
    intent = Intent(RID, 1, LANE, TWILIO, b"Hi", useful_until=useful_until)
    await intents._post(_Flight(intent, time.monotonic() - age_s))
    [proof] = carrier.proofs
    assert len(carrier.texts) == posted
    assert not isinstance(proof.evidence, Accepted)
    if not posted:
        assert proof.evidence == NotAccepted(NotAcceptedReason.INTENT_EXPIRED)
        assert proof.not_before is None, "its next turn, which is now, says what is so"


class Database:
    """One that is there, and has nothing to say."""

    def acquire(self) -> "Database":
        return self

    transaction = acquire

    async def __aenter__(self) -> "Database":
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Nothing to commit."""


async def test_a_repeat_asked_for_before_a_breakers_pause_is_over_does_not_leave_it_half_open_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The pause ends while the repeats are looked up: by then a probe may go, but not under the licence of before."""
    clock = SimpleNamespace(now=1000.0)
    for module in (app_intents, app_lanes):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock.now, time=time.time))
    nothing: Any = None
    carrier: Any = Carrier()
    carrier.says = Answer(Said.TAKEN, carrier_message_id="M1")
    lanes = Lanes(nothing, Routing(TELNYX), Bounds(connections=8, failures=1, longest_pause_s=5.0), Limits())
    lanes.learn(LANE, Unknown(UnresolvedReason.TIMEOUT), began=clock.now)
    [began] = {one.resumes_in_s + clock.now - 0.01 for one in lanes.pressure() if one.sender}

    async def found(*given: Any, **_more: Any) -> list[Intent]:
        clock.now = began + 1.0
        [room] = [one for one in given if isinstance(one, Room)]
        return [Intent(RID, 1, LANE, TELNYX, b"Hi", repeats=1)] if room.admits(LANE) else []

    monkeypatch.setattr(app_intents, "take_repeats", found)
    owner: Any = SimpleNamespace(held_since=0.0)
    database: Any = Database()
    intents = Intents(
        database, nothing, owner, carrier, carrier, carrier, SETTINGS, asyncio.Event(), lanes, Connections(8)
    )
    await intents._repeat(1, began)
    await asyncio.gather(*intents._posts)
    lanes.notice(Counter({LANE: 1}))
    assert lanes.pick(8, clock.now) == {LANE: 1}, "the one message that asks"
