"""What a manager asks for when creating a campaign, checked; refusals are values with a stable code."""

from datetime import datetime
from typing import NamedTuple

from kernel.phone import PhoneProblem, normalise

from send_intake.scheduled_time import BadTime, read_time
from send_intake.template import TemplateProblem, parse

MAX_NAME = 200


class Refusal(NamedTuple):
    code: str
    detail: str


class NewCampaign(NamedTuple):
    name: str
    text: str
    scheduled_for: datetime | None
    sender: str | None  # E.164; None: the account's number


def read_campaign(
    name: str, text: str, scheduled_for: str | None, sender: str | None, now: datetime, region: str
) -> NewCampaign | Refusal:
    """The campaign that is asked for, or the first thing wrong with it."""
    name = name.strip()
    if not name or len(name) > MAX_NAME or not name.isprintable():
        return Refusal("bad_name", f"A campaign's name has 1 to {MAX_NAME} characters on one line.")
    template = parse(text)
    if isinstance(template, TemplateProblem):
        return Refusal(template.reason, template.reason.words)
    time = None if scheduled_for is None else read_time(scheduled_for, now)
    if isinstance(time, BadTime):
        return Refusal(*time)
    number = None if sender is None else normalise(sender, region)
    if isinstance(number, PhoneProblem):
        return Refusal("bad_sender", f"The sender number is not one: {number.words}")
    return NewCampaign(name, text, time, number)
