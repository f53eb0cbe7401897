"""What a manager asks for when creating a campaign, checked; refusals are values with a stable code."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from kernel.phone import PhoneProblem, normalise

from send_intake.scheduled_time import BadTime, read_time, zone_of
from send_intake.template import TemplateProblem, parse

MAX_NAME = 200
MAX_SENDERS = 50


class Refusal(NamedTuple):
    code: str
    detail: str


class Asked(Protocol):
    """A campaign as somebody wrote it down."""

    name: str
    text: str
    scheduled_for: str | None
    sender: str | None
    senders: list[str] | None
    useful_until: str | None


class NewCampaign(NamedTuple):
    name: str
    text: str
    scheduled_for: datetime | None
    senders: tuple[str, ...]  # E.164, each once; none: the account's number
    useful_until: datetime | None
    time_zone: str | None  # in which T was given


def read_campaign(asked: Asked, now: datetime, region: str) -> NewCampaign | Refusal:
    """The campaign that is asked for, or the first thing wrong with it."""
    name = asked.name.strip()
    if not name or len(name) > MAX_NAME or not name.isprintable():
        return Refusal("bad_name", f"A campaign's name has 1 to {MAX_NAME} characters on one line.")
    template = parse(asked.text)
    if isinstance(template, TemplateProblem):
        return Refusal(template.reason, template.reason.words)
    time = None if asked.scheduled_for is None else read_time(asked.scheduled_for, now)
    if isinstance(time, BadTime):
        return Refusal(*time)
    until = _useful_until(asked.useful_until, time, now)
    if isinstance(until, Refusal):
        return until
    senders = _senders(asked.sender, asked.senders, region)
    if isinstance(senders, Refusal):
        return senders
    zone = zone_of(asked.scheduled_for) if asked.scheduled_for else None
    return NewCampaign(name, asked.text, time, senders, until, zone)


def _useful_until(text: str | None, scheduled_for: datetime | None, now: datetime) -> datetime | Refusal | None:
    """A time after T, or nothing could ever be sent."""
    until = None if text is None else read_time(text, now)
    if isinstance(until, BadTime):
        return Refusal(until.code, f"useful_until: {until.detail}")
    if until is not None and scheduled_for is not None and until <= scheduled_for:
        return Refusal("useful_until_too_early", "useful_until must be after scheduled_for: nothing could be sent.")
    return until


def _senders(one: str | None, several: Sequence[str] | None, region: str) -> tuple[str, ...] | Refusal:
    if one is not None and several is not None:
        return Refusal("sender_and_senders", "Give sender or senders, not both.")
    if several is None:
        several = [] if one is None else [one]
    elif not several:
        return Refusal("no_senders", "senders names no number: leave it out for the account's own.")
    elif len(several) > MAX_SENDERS:
        return Refusal("too_many_senders", f"A campaign has at most {MAX_SENDERS} sender numbers.")
    numbers = [read_sender(number, region) for number in several]
    refused = next((number for number in numbers if isinstance(number, Refusal)), None)
    return refused or tuple(dict.fromkeys(number for number in numbers if isinstance(number, str)))


def read_sender(number: str, region: str) -> str | Refusal:
    """A number to send from, E.164."""
    found = normalise(number, region)
    if isinstance(found, PhoneProblem):
        return Refusal("bad_sender", f"The sender number is not one: {found.words}")
    return found
