"""What the log says about one recipient, causes before effects, and where a cause is missing."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from handsent.log_view import Seen
from schemas.events import Event

Place = tuple[str, int, int]  # topic, partition, offset


@dataclass(frozen=True)
class Step:
    """One record. `cause` is where the event's cause lies; None for a human act, or (`gap`) where there is none.

    `repeats`: the same event stands earlier in the log.
    """

    seen: Seen
    cause: Place | None
    gap: bool
    repeats: bool

    @property
    def event(self) -> Event:
        assert self.seen.event is not None
        return self.seen.event


@dataclass(frozen=True)
class Trace:
    steps: list[Step]
    unreadable: list[Seen]

    @property
    def whole(self) -> bool:
        return not self.unreadable and not any(step.gap for step in self.steps)


def causes_elsewhere(records: Iterable[Seen]) -> set[str]:
    """The ids of causes that are not among the records themselves."""
    events = [record.event for record in records if record.event is not None]
    return {event.caused_by for event in events if event.caused_by} - {event.event_id for event in events}


def trace(records: Iterable[Seen], elsewhere: Mapping[str, Place]) -> Trace:
    """The records in causal order: by the time they tell of, but never before their cause. `elsewhere`: causes about
    others, that the log has."""
    records = list(records)
    readable = sorted((r for r in records if r.event is not None), key=_happened)
    first: dict[str, Seen] = {}
    for record in sorted(readable, key=lambda r: (r.appended_at, r.topic, r.partition, r.offset)):
        assert record.event is not None
        first.setdefault(record.event.event_id, record)
    places = {**elsewhere, **{id_: _place(record) for id_, record in first.items()}}
    steps = [_step(record, first, places) for record in _causes_first(readable, first)]
    return Trace(steps, [record for record in records if record.event is None])


def _happened(record: Seen) -> tuple[object, ...]:
    assert record.event is not None
    return (record.event.occurred_at, record.appended_at, record.topic, record.offset)


def _causes_first(records: list[Seen], first: Mapping[str, Seen]) -> list[Seen]:
    ordered: list[Seen] = []
    told: set[Place] = set()

    def tell(record: Seen) -> None:
        if _place(record) in told:
            return
        told.add(_place(record))
        cause = record.event.caused_by if record.event else None
        if cause is not None and cause in first:
            tell(first[cause])
        ordered.append(record)

    for record in records:
        tell(record)
    return ordered


def _step(record: Seen, first: Mapping[str, Seen], places: Mapping[str, Place]) -> Step:
    assert record.event is not None
    caused_by = record.event.caused_by
    cause = places.get(caused_by) if caused_by else None
    return Step(record, cause, caused_by is not None and cause is None, first[record.event.event_id] is not record)


def _place(record: Seen) -> Place:
    return record.topic, record.partition, record.offset
