"""How a raw receipt is read, whichever provider it came from: what it proves, and whom it is about."""

from collections.abc import Callable
from urllib.parse import parse_qsl

from dispatcher import provider_smpp, provider_telnyx, provider_twilio
from dispatcher.provider import SMPP, TELNYX, TWILIO
from dispatcher.receipt import Receipt

Parties = tuple[str, str]


def _twilio(form: bytes) -> Receipt | None:
    return provider_twilio.receipt_of(dict(parse_qsl(form.decode(), keep_blank_values=True)))[1]


def _telnyx(body: bytes) -> Receipt | None:
    return provider_telnyx.receipt_of(body)[1]


def _smpp(text: bytes) -> Receipt | None:
    return provider_smpp.receipt_of(text)[1]


def _parties_of_twilio(form: bytes, _region: str) -> Parties:
    fields = dict(parse_qsl(form.decode(), keep_blank_values=True))
    return fields.get("To", ""), fields.get("From", "")


def _parties_of_telnyx(body: bytes, _region: str) -> Parties:
    return provider_telnyx.parties_of(body)


# Whom the message went to, and from which sender, as the receipt tells it, to be read as in a region.
PARTIES: dict[str, Callable[[bytes, str], Parties]] = {
    TWILIO: _parties_of_twilio,
    TELNYX: _parties_of_telnyx,
    SMPP: provider_smpp.parties_of,
}
# Bytes as they were stored, which were read once before: what cannot be read was refused then.
RECEIPTS: dict[str, Callable[[bytes], Receipt | None]] = {TWILIO: _twilio, TELNYX: _telnyx, SMPP: _smpp}
