"""Events with what is sealed in them opened, for whoever has the keys."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from kernel.seal import CELLS, EVIDENCE, NUMBER, TEMPLATE, Key, text_of, unseal
from schemas import events as e
from schemas.events import Event


def subject_of(event: Event) -> str | None:
    """Whose key opens the event: the person's; of a campaign's template the campaign's."""
    subject: str | None = getattr(event, "person_id", None) or getattr(event, "campaign_id", None)
    return subject


def opened(event: Event, keys: Mapping[str, Key]) -> dict[str, Any]:
    """The event's fields in their order, those that are sealed opened; None where the key is gone. Raises Tampered."""
    said = {field.name: getattr(event, field.name) for field in fields(event)}
    key = keys.get(subject_of(event) or "")
    for name, what in _sealed_as(event).items():
        said[name] = unseal(key, what, said[name])
    return said


def _sealed_as(event: Event) -> dict[str, str]:
    """The event's sealed fields, and what they were sealed as."""
    match event:
        case e.CampaignCreated():
            return {"text": TEMPLATE}
        case e.RecipientAdded():
            return {"number": NUMBER, "cells": CELLS}
        case e.RecipientProcessed() | e.MessageReleased():
            return {"number": NUMBER, "text": text_of(event.recipient_id)}
        case e.PersonOptedOut() | e.PersonOptedIn():
            return {"number": NUMBER, "evidence": EVIDENCE}
    return {}
