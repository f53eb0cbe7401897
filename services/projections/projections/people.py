"""What is sealed, as those who may see it see it; and what is left of whom nobody can see any more."""

from collections.abc import Mapping
from dataclasses import fields
from functools import lru_cache
from typing import Any, NamedTuple

import orjson
from kernel.seal import CELLS, EVIDENCE, NUMBER, TEMPLATE, Key, text_of, unseal

from projections.columns import column_of
from schemas import events as e
from schemas.events import Event


class Person(NamedTuple):
    """A recipient's number and the list's cells. Without the key there are none, only the list's headers."""

    phone: str | None
    cells: dict[str, str]

    @property
    def first_name(self) -> str:
        return self._named("first_name")

    @property
    def last_name(self) -> str:
        return self._named("last_name")

    def _named(self, name: str) -> str:
        return self.cells.get(_column(name, tuple(self.cells)), "")


def person(key: Key | None, phone: str | None, columns: str | None, cells: str | None) -> Person:
    """The person of a stored row: the sealed number, the headers, the sealed cells. Raises Tampered."""
    names: list[str] = orjson.loads(columns) if columns else []
    said = unseal(key, CELLS, cells) if cells else None
    known = dict(zip(names, orjson.loads(said), strict=True)) if said is not None else dict.fromkeys(names, "")
    return Person(unseal(key, NUMBER, phone) if phone else None, known)


@lru_cache(maxsize=1024)
def _column(name: str, columns: tuple[str, ...]) -> str:
    return column_of(name, columns)


def opened(event: Event, keys: Mapping[str, Key]) -> dict[str, Any]:
    """The event's fields with what is sealed in them opened; None where the key is gone. Raises Tampered."""
    said = {field.name: getattr(event, field.name) for field in fields(event)}
    key = keys.get(said.get("person_id") or said.get("campaign_id") or "")
    for name, what in _sealed_as(event).items():
        if said[name] is not None:
            said[name] = unseal(key, what, said[name])
    if isinstance(event, e.RecipientAdded):
        cells = said.pop("cells")
        if event.cells:
            said["columns"] = dict(zip(event.columns, orjson.loads(cells), strict=True)) if cells is not None else None
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
