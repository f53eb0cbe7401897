"""What stands on the pages, in words and shapes. Nothing here asks anybody."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple


class Figure(NamedTuple):
    """A state recipients are counted in, as people read it."""

    name: str
    means: str


STATES: Mapping[str, Figure] = {
    "unprocessed": Figure("To send", "nobody has pressed SEND yet"),
    "waiting": Figure("Waiting", "SENT; it goes out at its time, or as soon as the carrier takes it"),
    "suppressed": Figure("Not texted", "had opted out, or must not be texted any more"),
    "dropped": Figure("Dropped", "the campaign was ended before its time"),
    "delivered": Figure("Delivered", "it reached the phone"),
    "failed": Figure("Failed", "the carrier says that it did not arrive"),
    "awaiting": Figure("On its way", "sent; the carrier has not said yet whether it arrived"),
    "unconfirmed": Figure("Unconfirmed", "the carrier never said whether it arrived"),
    "unknown": Figure("Unknown", "it may have been sent; nobody knows, and it is not sent again"),
}


# What the events of a recipient's timeline tell.
EVENTS: Mapping[str, str] = {
    "CampaignCreated": "The campaign was created",
    "CampaignEnded": "The campaign was ended",
    "RecipientAdded": "Put on the list",
    "RecipientProcessed": "SENT: somebody pressed SEND",
    "MessageReleased": "Let go: it was due",
    "MessageDropped": "Dropped: the campaign was ended before its time",
    "MessageSuppressed": "Not texted",
    "SendAttempted": "Handed to the carrier",
    "SendNotAccepted": "The carrier did not take it; it waits again",
    "MessageAccepted": "Taken by the carrier",
    "MessageRejected": "Refused by the carrier",
    "MessageUnresolved": "Nobody knows whether the carrier took it",
    "MessageDelivered": "Delivered",
    "MessageNotDelivered": "Not delivered",
    "MessageUnconfirmed": "The carrier never said whether it arrived",
    "PersonOptedOut": "Opted out",
    "PersonOptedIn": "Opted in again",
    "PersonErased": "The person's data was erased",
}
# What stands in a timeline's line already, or is the same in all of them.
BESIDE = frozenset({"event", "occurred_at", "actor", "columns"})


def number(value: int) -> str:
    return f"{value:,}"


def share(part: int, whole: int) -> str:
    """In whole per cent; 100 only when it is all, 0 only when it is nothing."""
    if whole <= 0:
        return "0"
    exact = 100 * part / whole
    return str(min(99, max(1, round(exact)))) if 0 < part < whole else str(round(exact))


def iso(at: datetime | str | None) -> str:
    """For a `time` element: RFC 3339 in UTC, to the second."""
    if at is None:
        return ""
    return moment(at).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def in_utc(at: datetime | str) -> str:
    """What a `time` element says until the script has put it into the reader's zone."""
    return moment(at).astimezone(UTC).strftime("%-d %b %Y, %H:%M UTC")


def moment(at: datetime | str) -> datetime:
    return datetime.fromisoformat(at) if isinstance(at, str) else at


def plural(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


FILTERS: dict[str, Callable[..., str]] = {
    "number": number, "share": share, "iso": iso, "in_utc": in_utc, "plural": plural,
}  # fmt: skip


class Leaf(NamedTuple):
    """A number of Progress: `key` as the API names it, `depth` how far it stands in, `states` whom it links to."""

    key: str
    name: str
    means: str
    depth: int
    states: str


def _leaf(state: str, depth: int) -> Leaf:
    return Leaf(state, *STATES[state], depth, state)


# The sums of Progress, each above its parts.
PROGRESS = (
    Leaf("recipients", "Recipients", "everybody on the list", 0, ""),
    _leaf("unprocessed", 1),
    Leaf("processed", "Processed", "somebody pressed SEND", 1, ""),
    _leaf("waiting", 2),
    _leaf("suppressed", 2),
    _leaf("dropped", 2),
    Leaf("sent", "Sent", "handed to the carrier", 2, ""),
    _leaf("delivered", 3),
    Leaf("not_delivered", "Not delivered", "sent, and not known to have arrived", 3, ""),
    _leaf("failed", 4),
    _leaf("awaiting", 4),
    _leaf("unconfirmed", 4),
    _leaf("unknown", 4),
)  # fmt: skip


class Chart(NamedTuple):
    """Two lines over time, as SVG points in a box of `WIDTH` by `HEIGHT`."""

    processed: str
    delivered: str
    first: datetime
    last: datetime
    most: int


WIDTH, HEIGHT = 600, 120


def chart(points: Sequence[Mapping[str, Any]]) -> Chart | None:
    """Processed and delivered as they went; None until there is something to draw."""
    times = [moment(point["at"]) for point in points]
    most = max((point["processed"] for point in points), default=0)
    if len(points) < 2 or not most or times[0] == times[-1]:
        return None
    span = (times[-1] - times[0]).total_seconds()

    def line(name: str) -> str:
        """Steps: between two points the figures stayed as they were."""
        drawn, before = [], None
        for at, point in zip(times, points, strict=True):
            x = (at - times[0]).total_seconds() / span * WIDTH
            y = HEIGHT - point[name] / most * HEIGHT
            if before is not None:
                drawn.append(f"{x:.1f},{before:.1f}")
            drawn.append(f"{x:.1f},{y:.1f}")
            before = y
        return " ".join(drawn)

    return Chart(line("processed"), line("delivered"), times[0], times[-1], most)


PACE_OVER = timedelta(minutes=10)


def forecast(points: Sequence[Mapping[str, Any]], unprocessed: int, now: datetime) -> tuple[float, datetime] | None:
    """SENDs a minute over the last ten, and when the list is done at that pace; None while nobody presses."""
    since = now - PACE_OVER
    before = [point for point in points if moment(point["at"]) <= since]
    last = points[-1]["processed"] if points else 0
    first = before[-1]["processed"] if before else 0
    began = since if before else moment(points[0]["at"]) - timedelta(minutes=1) if points else now
    minutes = max(1.0, (now - max(began, since)).total_seconds() / 60)
    pace = (last - first) / minutes
    if pace <= 0 or unprocessed <= 0:
        return None
    return pace, now + timedelta(minutes=unprocessed / pace)
