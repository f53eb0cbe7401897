"""Whether a message may go: the person's opt-out decides, at the moment of the intent; and who may lift an opt-out."""

from dataclasses import dataclass
from datetime import datetime

from schemas.reasons import OptOutSource, SuppressReason


@dataclass(frozen=True, slots=True)
class OptOut:
    """A person's opt-out in force."""

    source: OptOutSource
    opted_out_at: datetime
    event_id: str


@dataclass(frozen=True, slots=True)
class Suppress:
    """The person had opted out: nobody is texted."""

    reason: SuppressReason
    opt_out: OptOut


@dataclass(frozen=True, slots=True)
class Clear:
    """The message may go."""


def decide(opt_out: OptOut | None) -> Suppress | Clear:
    """An opt-out in force suppresses, whatever its source."""
    return Clear() if opt_out is None else Suppress(SuppressReason.OPTED_OUT, opt_out)


def opts_out(current: OptOutSource | None, source: OptOutSource) -> bool:
    """Whether an opt-out changes anything: a first one does, and a manager's word over what a person could take back.

    An import changes nothing for who is out already: a list that was exported and imported again must not turn every
    STOP into a block that START cannot lift.
    """
    return current is None or (source == OptOutSource.MANUAL and reply_lifts(current))


def reply_lifts(current: OptOutSource) -> bool:
    """START takes back what the person said, to us or to the carrier; never what a manager or a list said."""
    return current in (OptOutSource.REPLY, OptOutSource.CARRIER)
