"""For tests: events as the services write them, records as the batch loop sees them, and patience with a deadline."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kernel.revocations import Revocations
from schemas import codec
from schemas.codec import encode
from schemas.events import CampaignCreated, CampaignEnded, ClockAdvanced, Event, RecipientProcessed
from schemas.identity import HANDSENT, event_id, recipient_id, uuid5

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ACCOUNT = uuid5(HANDSENT, "account of tests")
CAMPAIGN = uuid5(HANDSENT, "campaign of tests")
USER = uuid5(HANDSENT, "user of tests")
SENDER = "+18445550100"
VAULT_KEY = "a vault key for tests that is long enough"
PATIENCE_S = 20.0


@dataclass(frozen=True, slots=True)
class Record:
    """A record as the batch loop sees it."""

    offset: int
    value: bytes | None


def records(*events: Event, start: int = 0) -> list[Record]:
    """The events as consecutive records of one partition."""
    return [Record(offset, encode(event)) for offset, event in enumerate(events, start)]


def as_version(version: int, event: Event) -> bytes:
    """The event as it was written when this was its latest version; what that did not know is left out."""
    return codec._VERSIONS[type(event)][version - 1].encode(event)


def number(n: int) -> str:
    """The n-th of ten million numbers that look like real ones."""
    return f"+1202{n:07d}"


def created(campaign_id: str = CAMPAIGN, scheduled_for: datetime | None = None) -> CampaignCreated:
    return CampaignCreated(
        **_about(campaign_id, "CampaignCreated", NOON), name="Spring", text="Hello", scheduled_for=scheduled_for,
        sender=SENDER,
    )  # fmt: skip


def ended(at: datetime, campaign_id: str = CAMPAIGN, scheduled_for: datetime | None = None) -> CampaignEnded:
    return CampaignEnded(
        **_about(campaign_id, "CampaignEnded", at), ended_at=at, ended_by=USER, scheduled_for=scheduled_for
    )


def processed(
    n: int, at: datetime = NOON, campaign_id: str = CAMPAIGN, scheduled_for: datetime | None = None
) -> RecipientProcessed:
    """A press of SEND at `at` on the n-th number: it waits when that is before T."""
    rid = recipient_id(campaign_id, number(n))
    return RecipientProcessed(
        **{**_about(campaign_id, "", at), "event_id": event_id(rid, "RecipientProcessed")}, recipient_id=rid,
        person_id=uuid5(ACCOUNT, number(n)), processed_at=at, processed_by=USER,
        due_at=max(at, scheduled_for or at), scheduled_for=scheduled_for, number=number(n), text="Hello",
        sender=SENDER,
    )  # fmt: skip


def clock(at: datetime, campaigns_offsets: dict[int, int]) -> ClockAdvanced:
    """Time as it is in the log: every END up to `at` lies before these offsets of `campaigns`."""
    return ClockAdvanced(
        event_id=event_id(HANDSENT, f"ClockAdvanced:{at.isoformat()}"), occurred_at=at, actor="send-intake",
        caused_by=None, at=at, campaigns_offsets={str(p): offset for p, offset in campaigns_offsets.items()},
    )  # fmt: skip


async def eventually(true: Callable[[], Awaitable[Any] | Any], what: str = "it", patience_s: float = PATIENCE_S) -> Any:
    """Polls until the answer is true and returns it; fails the test when that takes longer than `patience_s`."""
    deadline = asyncio.get_running_loop().time() + patience_s
    while True:
        answer = true()
        if inspect.isawaitable(answer):
            answer = await answer
        if answer:
            return answer
        assert asyncio.get_running_loop().time() < deadline, f"{what} did not come true in {patience_s:.0f} s"
        await asyncio.sleep(0.02)


def _about(campaign_id: str, event: str, at: datetime) -> dict[str, Any]:
    return {
        "event_id": event_id(campaign_id, event),
        "account_id": ACCOUNT,
        "campaign_id": campaign_id,
        "occurred_at": at,
        "actor": USER,
        "caused_by": None,
    }


def nothing_revoked() -> Revocations:
    """Revocations that need no broker: all is known, and nothing was ended."""
    revocations = Revocations("nowhere:9")
    revocations.known = True
    return revocations
