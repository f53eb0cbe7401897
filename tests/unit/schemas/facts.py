"""Hypothesis strategies: any event there can be, made from the dataclasses' types."""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from schemas.events import Event
from schemas.topics import TOPIC_OF

EVENTS = sorted(TOPIC_OF, key=lambda event: event.__name__)
UUIDS = {
    "event_id", "account_id", "campaign_id", "recipient_id", "person_id", "caused_by", "opt_out_event_id",
    "token_id", "user_id",
}  # fmt: skip
uuids = st.uuids().map(str)
times = st.integers(0, 2**53).map(lambda micros: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros))


def any_of(event: type[Event]) -> st.SearchStrategy[Event]:
    return st.builds(event, **{name: _field(name, hint) for name, hint in get_type_hints(event).items()})


def _field(name: str, hint: Any) -> st.SearchStrategy[Any]:
    if get_origin(hint) is UnionType:
        (inner,) = (arg for arg in get_args(hint) if arg is not NoneType)
        return st.none() | _field(name, inner)
    if get_origin(hint) is dict:
        return st.dictionaries(st.text(), _field("", get_args(hint)[1]), max_size=5)
    if get_origin(hint) is tuple:
        return st.lists(_field("", get_args(hint)[0]), max_size=5).map(tuple)
    if hint is datetime:
        return times
    if hint is str:
        return uuids if name in UUIDS else st.text()
    if hint is int:
        return st.integers(0, 2**31 - 1)
    assert issubclass(hint, StrEnum)
    return st.sampled_from(hint)
