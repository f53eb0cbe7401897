"""What the dispatcher answers, for its OpenAPI document. The answers themselves go out as rows become JSON."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict


class OptOut(BaseModel):
    """A person who is not texted."""

    person_id: str
    phone: str | None
    source: str
    reason: str | None
    opted_out_at: datetime
    opted_out_by: str
    reply: str | None = None


class OptOutPage(BaseModel):
    opt_outs: list[OptOut]
    next: str | None = None


class Lifted(BaseModel):
    person_id: str
    opted_out: Literal[False]


class RejectedLine(BaseModel):
    line: int
    reason: str


class ImportedOptOuts(BaseModel):
    """`added + already + rejected` is the number of rows that are not blank; the first 100 rejects are listed."""

    added: int
    already: int
    rejected: int
    rejects: list[RejectedLine]


class Unresolved(BaseModel):
    """An attempt nobody knows the outcome of."""

    recipient_id: str
    campaign_id: str
    attempt: int
    reason: str | None
    carrier_code: str | None
    since: datetime
    attempted_at: datetime


class UnresolvedPage(BaseModel):
    unresolved: list[Unresolved]


class Resolved(BaseModel):
    recipient_id: str
    attempt: int
    resolution: Literal["accepted", "not_accepted", "rejected"]


class SenderQueue(BaseModel):
    """What waits at one of the account's numbers. Pace and breaker are those of the process that answers."""

    sender: str
    provider: str
    waiting: dict[str, int]  # by what for; each up to 10,000
    unknown: dict[str, int]  # by reason
    breaker: Literal["closed", "open", "half_open"]
    in_use: int
    limit: int | None
    resumes_in_s: float
    segments_per_s: float | None
    segments_left: float | None


class QueuePage(BaseModel):
    """The account's senders, and what its limits leave; null where there is none."""

    senders: list[SenderQueue]
    campaign_segments_per_minute: int | None
    account_segments_per_minute: int | None
    account_segments_left: float | None
    brand_segments_per_day: int | None
    brand_segments_left: int | None


class Reply(BaseModel):
    """What a person answered to a number of the account's."""

    carrier_message_id: str
    person_id: str
    phone: str
    sender: str
    body: str
    verdict: str
    received_at: datetime


class ReplyPage(BaseModel):
    replies: list[Reply]
    next: str | None = None


class Hold(BaseModel):
    """A person whose messages wait until a human has read what they answered."""

    person_id: str
    phone: str | None
    sender: str
    held_at: datetime
    reply: str
    body: str | None
    received_at: datetime
    waiting: int


class HoldPage(BaseModel):
    holds: list[Hold]
    next: str | None = None


class Decided(BaseModel):
    person_id: str
    reply: str
    decision: Literal["released", "opted_out"]


class Held(BaseModel):
    """Everything that is held of a person, under the name of what it is."""

    model_config = ConfigDict(extra="allow")


class Erased(BaseModel):
    """An erasure; `finished` once the person's key is destroyed."""

    model_config = ConfigDict(extra="allow")

    person_id: str
    finished: bool
