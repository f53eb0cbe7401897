"""What projections answers, for its OpenAPI document. The answers themselves go out as rows become JSON."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from projections.progress import State
from projections.wait import WaitsFor


class Numbers(BaseModel):
    """The numbers of Progress: each sum is that of its parts."""

    recipients: int
    processed: int
    sent: int
    not_delivered: int
    unprocessed: int
    waiting: int
    suppressed: int
    dropped: int
    delivered: int
    failed: int
    awaiting: int
    unconfirmed: int
    unknown: int


class Progress(Numbers):
    """The figures of a campaign; they add up in every answer. `as_of`: topic -> partition -> next offset.

    `waits_for`: why the `waiting` wait now; null when nobody does. `time`: for the campaign's time. `clock`: that time
    has come, but the clock everybody goes by has not reached it; they leave when it does. `queue`: they are on their
    way, at the carrier's pace.
    """

    campaign_id: str
    name: str | None
    state: Literal["current", "completed"]
    scheduled_for: datetime | None
    ended_at: datetime | None
    waits_for: WaitsFor | None
    failed_by_reason: dict[str, int]
    as_of: dict[str, dict[str, int]]


class Point(Numbers):
    """The figures as they stood at `at`, the end of a step; the last one's may lie ahead."""

    at: datetime


class OverTime(BaseModel):
    """One point for each step in which something changed; in between, the figures stayed as they were."""

    campaign_id: str
    step_s: int
    points: list[Point]
    as_of: dict[str, dict[str, int]]


class Sender(BaseModel):
    """A user, how many recipients they pressed SEND on, and the first and last time."""

    processed_by: str
    processed: int
    first_at: datetime
    last_at: datetime


class Senders(BaseModel):
    """Those who pressed SEND, most first. A press that is still on its way here is in nobody's count."""

    senders: list[Sender]


class Total(Numbers):
    """The figures of several campaigns together."""

    campaigns: int


class AccountProgress(BaseModel):
    current: Total
    completed: Total
    all: Total
    as_of: dict[str, dict[str, int]]


class Shares(BaseModel):
    """Between 0 and 1, four digits; null where there is nothing to have a share of.

    Of the recipients: processed. Of the processed: sent, suppressed, dropped. Of the sent: all others.
    """

    processed: float | None
    sent: float | None
    suppressed: float | None
    dropped: float | None
    delivered: float | None
    failed: float | None
    awaiting: float | None
    unconfirmed: float | None
    unknown: float | None


class Compared(Numbers):
    """A campaign beside others."""

    campaign_id: str
    name: str | None
    state: Literal["current", "completed"]
    scheduled_for: datetime | None
    ended_at: datetime | None
    failed_by_reason: dict[str, int]
    shares: Shares


class Comparison(BaseModel):
    campaigns: list[Compared]
    as_of: dict[str, dict[str, int]]


class Recipient(BaseModel):
    """The report's columns, and the list's own under `columns`."""

    recipient_id: str
    phone: str | None
    first_name: str
    last_name: str
    state: State
    delivery: Literal["", "delivered", "not delivered"]
    reason_code: str | None
    reason: str
    advice: str
    processed_at: datetime | None
    processed_by: str | None
    due_at: datetime | None
    released_at: datetime | None
    sent_at: datetime | None
    accepted_at: datetime | None
    delivered_at: datetime | None
    carrier_code: str | None
    carrier_message_id: str | None
    segments: int | None
    opted_out_at: datetime | None
    columns: dict[str, str]


class RecipientPage(BaseModel):
    recipients: list[Recipient]
    next: str | None = None


class OfPerson(BaseModel):
    """What a person is in each campaign."""

    person_id: str
    recipients: list[dict[str, Any]]


class Fact(BaseModel):
    """An event, with the fields of its schema."""

    model_config = ConfigDict(extra="allow")

    event_id: str
    event: str
    occurred_at: datetime
    actor: str
    caused_by: str | None


class Timeline(BaseModel):
    recipient_id: str
    events: list[Fact]


class Worded(BaseModel):
    reason: str
    advice: str


class Reasons(BaseModel):
    """state -> reason code -> its words."""

    reasons: dict[State, dict[str, Worded]]


class StatesAsked(BaseModel):
    recipient_ids: list[str] = Field(max_length=500)


class States(BaseModel):
    """recipient_id -> state, without those that are not known here."""

    states: dict[str, State]
