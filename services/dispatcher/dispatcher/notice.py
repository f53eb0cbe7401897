"""What a reply is answered with, and whether an answer that is a text of its own may still go."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from dispatcher.keywords import Verdict
from dispatcher.outcome import Accepted, NotAccepted, Rejected, Result

LATEST = timedelta(minutes=5)  # a confirmation later than that only surprises
RETRY = timedelta(seconds=5)


class Kind(StrEnum):
    """What an answer says."""

    STOPPED = "stopped"
    STARTED = "started"
    HELP = "help"


class Way(StrEnum):
    """How an answer reaches the person."""

    WEBHOOK = "webhook"  # in the answer to the carrier's webhook: TwiML
    TEXT = "text"  # as a text of its own
    NONE = "none"  # the carrier has answered already, or it is too late


class State(StrEnum):
    """Where an answer that is a text stands; all but the first two are ends."""

    WAITING = "waiting"
    POSTING = "posting"
    SENT = "sent"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    LATE = "late"
    NOT_WANTED = "not_wanted"


@dataclass(frozen=True, slots=True)
class Texts:
    """The words of the answers; who has none for a kind says nothing."""

    words: Mapping[Kind, str]

    def of(self, kind: Kind) -> str:
        return self.words.get(kind, "")


def answer(verdict: Verdict, way: Way, *, changed: bool, opted_out: bool) -> Kind | None:
    """What a reply is answered with. `changed`: it opted the person out, or in again; `opted_out`: how they stand now.

    A repeated STOP is not answered, and the answer to a first one is the only text for who has opted out.
    """
    if way == Way.NONE:
        return None
    match verdict:
        case Verdict.STOP if changed:
            return Kind.STOPPED
        case Verdict.START if changed:
            return Kind.STARTED
        case Verdict.HELP if not opted_out:
            return Kind.HELP
    return None


def may_go(kind: Kind, made_at: datetime, now: datetime, *, opted_out: bool, erased: bool, has_words: bool) -> State:
    """POSTING if the answer may be POSTed now, else the end it has come to."""
    if now - made_at > LATEST:
        return State.LATE
    if erased or not has_words or opted_out != (kind == Kind.STOPPED):
        return State.NOT_WANTED
    return State.POSTING


def after(outcome: Result) -> State:
    """Where an answer stands once it was POSTed. Only what is known not to have been taken is tried again."""
    match outcome:
        case Accepted():
            return State.SENT
        case Rejected():
            return State.REFUSED
        case NotAccepted():
            return State.WAITING
    return State.UNKNOWN
