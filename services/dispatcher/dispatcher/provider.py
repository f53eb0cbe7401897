"""What every provider is to the rest: a name, whether it knows idempotency keys, and a text it is asked to send."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import NAMESPACE_OID, uuid5

from schemas.identity import event_id

TWILIO, TELNYX, SMPP = PROVIDERS = ("twilio", "telnyx", "smpp")
# Their receipts cannot carry an address of ours, and are found by the id that the carrier gave the message.
UNADDRESSED = frozenset({SMPP})
# Asked with the same key and bytes, they do once what they are asked twice.
KEYED = frozenset({TELNYX})

Leaving = Callable[[], None]  # called just before the first byte of a POST may leave


@dataclass(frozen=True, slots=True)
class Text:
    """What the carrier is asked to send; `status_callback` is where it reports, if it reports over HTTP; empty, nobody
    wants to know what becomes of it."""

    to: str
    sender: str
    body: str
    status_callback: str


class Inbound(NamedTuple):
    """What a person sent to a number of ours, as the carrier tells it; `opt_out_type` is the carrier's own reading,
    `sent_at` its own time, if it tells one."""

    carrier_message_id: str
    number: str
    sender: str
    body: str
    opt_out_type: str = ""
    sent_at: datetime | None = None


class Unreadable(ValueError):
    """The carrier's word lacks what every such word has."""


def unnoted() -> None:
    """For whoever keeps no note of what leaves."""


def idempotency_key(recipient_id: str, attempt: int) -> str:
    """The key of an attempt's POST and of its repeats: the same in whichever process makes them."""
    return event_id(recipient_id, "IdempotencyKey", attempt)


def key_of_notice(carrier_message_id: str) -> str:
    """The key of the answer to a reply, whose id is whatever its carrier calls it."""
    return str(uuid5(NAMESPACE_OID, f"handsent notice {carrier_message_id}"))
