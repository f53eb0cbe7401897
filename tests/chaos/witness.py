"""Every unknown outcome must have a witness: a call that was under way when something was killed, cut, or not answered.

What is known from outside is each call's beginning and end on its dispatcher's wire, and each blow's moment. An outcome
that is unknown because its process died is of a call that was under way then, or that had been answered a moment
before and not recorded yet, or that was committed and had not left yet.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from schemas.reasons import UnresolvedReason
from tests.chaos.wire import Call, Key

RECORD_S = 10.0  # from an answer to its commit at most, while Postgres comes back
TIMEOUT_S = 14.0
AMBIGUOUS = (408, 409, 425)


@dataclass(frozen=True)
class Struck:
    """A blow at these wires' dispatchers, or at the wires themselves; `at` is monotonic."""

    what: str
    wires: tuple[str, ...]
    at: float

    @property
    def cuts(self) -> bool:
        return self.what.startswith("cut")


@dataclass(frozen=True)
class Unknown:
    """An outcome that nobody knew when it was written down."""

    key: Key
    reason: str
    again: bool = False  # it was known later


@dataclass
class Heard:
    """What the witnesses say."""

    problems: list[str] = field(default_factory=list)
    why: Counter[str] = field(default_factory=Counter)
    most_at_once: int = 0  # unknown by one blow


def hear(unknowns: Iterable[Unknown], calls: Mapping[Key, Call], blows: Sequence[Struck], connections: int) -> Heard:
    """Who has no witness, and blows that left more unknown than a dispatcher has connections."""
    heard = Heard()
    by_blow: Counter[int] = Counter()
    for unknown in unknowns:
        made = calls.get(unknown.key) or [None]  # more than one only under a key
        found = [_witness(unknown, call, blows) for call in made]
        why, blow = next((one for one in found if one[0] is not None), (None, None))
        heard.why[why or "no witness"] += 1
        if why is None:
            heard.problems.append(f"{unknown.key} is unknown ({unknown.reason}) without a witness: {made}")
        if blow is not None:
            by_blow[blow] += 1
    for blow, count in by_blow.items():
        if count > connections * len(blows[blow].wires):
            heard.problems.append(f"{blows[blow].what} left {count} unknown, more than could be under way")
    never, kills = heard.why["committed, not sent"], sum(not blow.cuts for blow in blows)
    if never > kills * connections:
        heard.problems.append(f"{never} were committed and not sent, after {kills} kills")
    heard.most_at_once = max(by_blow.values(), default=0)
    return heard


def _witness(unknown: Unknown, call: Call | None, blows: Sequence[Struck]) -> tuple[str | None, int | None]:
    """(why it is unknown, the blow that made it so), (None, None) when nothing explains it."""
    match unknown.reason:
        case UnresolvedReason.PROCESS_KILLED:
            return _of_the_dead(call, blows)
        case UnresolvedReason.CONNECTION_LOST | UnresolvedReason.UNREADABLE_ANSWER:
            if call is None:  # cut before the whole of it had left
                return ("cut", None) if any(blow.cuts for blow in blows) else (None, None)
            return ("cut", None) if call.cut else ("not answered", None) if call.status is None else (None, None)
        case UnresolvedReason.TIMEOUT:
            late = call is None or call.ended is None or call.ended - call.begun > TIMEOUT_S
            frozen = any(blow.what.startswith("froze") for blow in blows)
            return ("timed out", None) if late or frozen else (None, None)
        case UnresolvedReason.CARRIER_ERROR:
            error = call is not None and call.status is not None and (call.status >= 500 or call.status in AMBIGUOUS)
            return ("5xx", None) if error else (None, None)
    return None, None


def _of_the_dead(call: Call | None, blows: Sequence[Struck]) -> tuple[str | None, int | None]:
    deadly = [(n, blow) for n, blow in enumerate(blows) if not blow.cuts]
    if call is None:
        return ("committed, not sent", None) if deadly else (None, None)
    mine = [(n, blow) for n, blow in deadly if call.wire in blow.wires]
    for n, blow in mine:
        if call.under_way(blow.at):
            return "under way", n
    for n, blow in mine:
        # Its beginning may be noted a moment after the death: what the kernel had taken still arrives.
        if call.begun <= blow.at + 1 and (call.ended is None or call.ended >= blow.at - RECORD_S):
            return "answered, not recorded", n
    return None, None
