"""Whether a message may go, at the moment of the intent: the person's opt-out, and whether it still helps anybody.

And who may lift an opt-out.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from schemas.reasons import OptOutSource, SuppressReason


@dataclass(frozen=True, slots=True)
class OptOut:
    """A person's opt-out in force."""

    source: OptOutSource
    opted_out_at: datetime
    event_id: str


@dataclass(frozen=True, slots=True)
class Suppress:
    """The person had opted out, or was erased, or it is too late: nobody is texted."""

    reason: SuppressReason
    opt_out: OptOut | None = None


class Why(StrEnum):
    """What a message waits for, beside its turn."""

    BACK_OFF = "back_off"  # its last attempt was not accepted
    HOLD = "hold"  # the person answered something that a human reads first
    UNKNOWN = "unknown"  # an earlier text to the person, from the same sender, has an outcome that nobody knows
    KEY = "key"  # the person's key is missing
    COMPOSE = "compose"  # its carrier's protocol cannot say it


@dataclass(frozen=True, slots=True)
class Wait:
    """Not now, and for what: something that may end at any moment."""

    why: Why


@dataclass(frozen=True, slots=True)
class Hold:
    """The person's key is not there, and nobody erased them: the vault is not the one it should be."""


@dataclass(frozen=True, slots=True)
class Clear:
    """The message may go."""


def decide(
    opt_out: OptOut | None, *, erased: bool, readable: bool, too_late: bool = False, held: bool = False,
    unknown: bool = False,
) -> Suppress | Hold | Wait | Clear:  # fmt: skip
    """An opt-out in force suppresses, whatever its source; so does an erasure, and that nobody has use for it any more.
    What cannot be read waits.

    A person who is `held`, or whose last text from this sender has an `unknown` outcome, is not texted meanwhile.
    """
    if opt_out is not None:
        return Suppress(SuppressReason.OPTED_OUT, opt_out)
    if erased:
        return Suppress(SuppressReason.PERSON_ERASED)
    if too_late:
        return Suppress(SuppressReason.TOO_LATE)
    if held or unknown:
        return Wait(Why.HOLD if held else Why.UNKNOWN)
    return Clear() if readable else Hold()


def opts_out(current: OptOutSource | None, source: OptOutSource) -> bool:
    """Whether an opt-out changes anything: a first one does, and a manager's word over what a person could take back.

    An import changes nothing for who is out already: a list that was exported and imported again must not turn every
    STOP into a block that START cannot lift. A legal block is above all: whatever was said before, it is one now.
    """
    if source == OptOutSource.LEGAL:
        return current != OptOutSource.LEGAL
    return current is None or (source == OptOutSource.MANUAL and reply_lifts(current))


def reply_lifts(current: OptOutSource) -> bool:
    """START takes back what the person said, to us or to the carrier; never what a manager, a list or the law said."""
    return current in (OptOutSource.REPLY, OptOutSource.CARRIER)
