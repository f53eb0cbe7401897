"""An event with its place in the log."""

from typing import NamedTuple

from schemas.events import Event


class Received(NamedTuple):
    """One event as it was read. The offset is its own, not the next one."""

    event: Event
    topic: str
    partition: int
    offset: int
