"""A reply of a person we know, as what follows from it is decided: opt-outs, holds, answers."""

from dataclasses import dataclass
from datetime import datetime

from dispatcher.keywords import Verdict
from dispatcher.notice import Way


@dataclass(frozen=True, slots=True)
class Heard:
    """`number` and `evidence` (the body again, as what it proves) are sealed; `way` is how it may be answered."""

    carrier_message_id: str
    account_id: str
    person_id: str
    number: str
    sender: str
    body: str
    evidence: str
    verdict: Verdict
    way: Way
    at: datetime
    provider: str
