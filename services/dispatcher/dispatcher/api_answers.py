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
