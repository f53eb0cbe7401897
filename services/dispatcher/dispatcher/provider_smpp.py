"""SMPP 3.4 in our words: the bytes of a submit_sm, what its response says, and what a deliver_sm brings.

It knows no keys, and cannot carry a callback address: a receipt is found by the id that the carrier gave the message.
"""

import re
from collections.abc import Iterator, Mapping
from struct import error as StructError
from struct import pack, pack_into, unpack_from
from typing import NamedTuple

from aiosmpplib.codec import find_codec_info
from aiosmpplib.protocol import SubmitSm
from aiosmpplib.state import NPI, TON, PhoneNumber, SmppDataCoding
from kernel.phone import PhoneProblem, normalise

from dispatcher.outcome import LONGEST_ID, Accepted, Answer, Said, is_id
from dispatcher.provider import Inbound, Text, Unreadable
from dispatcher.reasons import SMPP, reason_of
from dispatcher.receipt import Delivered, NotDelivered, Receipt

HEADER = 16
LONGEST_PDU = 128 * 1024
ALPHABET = "gsm0338"  # the carrier's default; what it cannot say goes as UCS-2
SUBMIT_SM, SUBMIT_SM_RESP, DELIVER_SM = 0x04, 0x80000004, 0x05
DELIVER_SM_RESP, GENERIC_NACK = 0x80000005, 0x80000000
ENQUIRE_LINK, ENQUIRE_LINK_RESP, UNBIND, UNBIND_RESP = 0x15, 0x80000015, 0x06, 0x80000006
BIND_TRANSCEIVER_RESP = 0x80000009

# A response with an error says that the message was not taken, but for those that say the carrier is in trouble.
NO_ROOM = frozenset({0x04, 0x14, 0x58})  # not bound any more, queue full, throttled
TROUBLE = frozenset({0x08, 0xFE, 0xFF})  # system error, delivery failure, unknown error
STATES = {
    1: "ENROUTE", 2: "DELIVRD", 3: "EXPIRED", 4: "DELETED", 5: "UNDELIV", 6: "ACCEPTD", 7: "UNKNOWN", 8: "REJECTD",
}  # fmt: skip
UNDER_WAY = frozenset({"ENROUTE", "ACCEPTD"})
LOST = frozenset({"EXPIRED", "DELETED", "UNDELIV", "REJECTD"})
IS_RECEIPT, HAS_HEADER = 0b0000_0100, 0b0100_0000
RECEIPTED_MESSAGE_ID, MESSAGE_STATE, MESSAGE_PAYLOAD = 0x001E, 0x0427, 0x0424
_FIELD = {name: re.compile(rf"\b{name}:(\S+)", re.IGNORECASE) for name in ("id", "stat", "err")}


class Header(NamedTuple):
    """The first 16 bytes of every PDU."""

    length: int
    command: int
    status: int
    sequence: int


def header(data: bytes) -> Header:
    """Raises Unreadable for a length that no PDU of ours can have."""
    found = Header(*unpack_from("!IIII", data))
    if not HEADER <= found.length <= LONGEST_PDU:
        raise Unreadable("a PDU of an absurd length")
    return found


def short(command: int, sequence: int, status: int = 0, body: bytes = b"") -> bytes:
    """A PDU that is little more than its header."""
    return pack("!IIII", HEADER + len(body), command, status, sequence) + body


def request(text: Text) -> bytes:
    """The submit_sm, with sequence number 0. However long, it is one message: message_payload carries it.

    A text that is nobody's attempt asks for no receipt: it could only be taken for an attempt's (`parking.py`).
    """
    pdu = SubmitSm(
        short_message=text.body,
        source=_address(text.sender),
        destination=_address(text.to),
        registered_delivery=1 if text.status_callback else 0,
        error_handling="strict",
    )
    pdu.set_encoding_info(ALPHABET, None)
    return bytes(pdu.pdu())


def numbered(request: bytes, sequence: int) -> bytes:
    """The same bytes under this session's next sequence number, by which the response is found."""
    data = bytearray(request)
    pack_into("!I", data, 12, sequence)
    return bytes(data)


def answer(status: int, body: bytes) -> Answer:
    """What a submit_sm_resp says."""
    id_ = body.split(b"\0", 1)[0].decode("latin-1")
    code = None if status == 0 else f"0x{status:08x}"
    if status == 0:
        said = Said.TAKEN if is_id(id_) else Said.TAKEN_UNREADABLY
    elif status in NO_ROOM:
        said = Said.THROTTLED
    else:
        said = Said.BROKEN if status in TROUBLE else Said.REFUSED
    known = id_ if said == Said.TAKEN else None
    return Answer(said, carrier_message_id=known, carrier_code=code, reason=reason_of(code, SMPP))


def is_receipt(pdu: bytes) -> bool:
    """Whether a deliver_sm is a receipt. Raises Unreadable."""
    found = _deliver(pdu)
    return bool(found.esm_class & IS_RECEIPT) or RECEIPTED_MESSAGE_ID in found.tlvs


def receipt_of(raw: bytes) -> tuple[str, Receipt | None]:
    """The message's id, and what the receipt proves; None for a state we do not know. `raw` is the PDU in hex, as it is
    stored. Raises Unreadable."""
    try:
        pdu = bytes.fromhex(raw.decode("ascii"))
    except ValueError:
        raise Unreadable("not a PDU in hex") from None
    found = _deliver(pdu)
    said = {name: match[1] for name, field in _FIELD.items() if (match := field.search(found.text))}
    id_ = found.id_in_tlv() or said.get("id", "")
    if not is_id(id_):
        raise Unreadable("a receipt without an id")
    state = found.tlvs.get(MESSAGE_STATE)
    stat = STATES.get(state[0], "UNKNOWN") if state else said.get("stat", "").upper()[:7]
    return id_, _proven(id_, stat, said.get("err", "000"))


def parties_of(raw: bytes, region: str) -> tuple[str, str]:
    """Whom the message of a receipt went to, and from which sender. `raw` as in `receipt_of`, numbers as in
    `inbound_of`. Raises Unreadable."""
    found = _deliver(bytes.fromhex(raw.decode("ascii")))
    return found.source.e164(region), found.destination.e164(region)


def inbound_of(pdu: bytes, id_: str, region: str) -> Inbound:
    """What a person sent; the protocol has no id for it, so the caller gives one. Numbers are read as in `region`,
    unless they are told to be international. Raises Unreadable."""
    found = _deliver(pdu)
    number, sender = found.source.e164(region), found.destination.e164(region)
    if not is_id(number) or not is_id(sender):
        raise Unreadable("a message from nobody, or to nobody")
    return Inbound(id_, number, sender, found.text)


def _proven(id_: str, stat: str, err: str) -> Receipt | None:
    told = err.isascii() and err.isalnum() and err.strip("0") != ""  # an error of its own, and no nonsense
    code = f"{stat} {err}"[:LONGEST_ID] if told else stat
    if stat in UNDER_WAY:
        return Accepted(id_)
    if stat == "DELIVRD":
        return Delivered(id_, None if code == stat else code)
    return NotDelivered(id_, code, reason_of(stat, SMPP)) if stat in LOST else None


class _Address(NamedTuple):
    """A number as a deliver_sm tells it."""

    ton: int
    number: str

    def e164(self, region: str) -> str:
        """E.164, as everywhere else; a short code or a name stays as it is.

        `2025550123` of an unknown or national type is +12025550123 in the US: read as +2025550123 it would be nobody's.
        """
        if not (self.number.isascii() and self.number.isdigit()):
            return self.number
        if self.ton not in (TON.INTERNATIONAL, TON.ABBREVIATED):
            found = normalise(self.number, region)
            if not isinstance(found, PhoneProblem):
                return found
        return f"+{self.number}" if self.ton == TON.INTERNATIONAL or len(self.number) >= 10 else self.number


class _Delivered(NamedTuple):
    """A deliver_sm, as far as we read it."""

    source: _Address
    destination: _Address
    esm_class: int
    text: str
    tlvs: Mapping[int, bytes]

    def id_in_tlv(self) -> str | None:
        value = self.tlvs.get(RECEIPTED_MESSAGE_ID)
        return None if value is None else value.split(b"\0", 1)[0].decode("latin-1")


def _deliver(pdu: bytes) -> _Delivered:
    """Not the library's reader: it refuses receipts without a text, and types of numbers that it does not know."""
    try:
        return _read(pdu[HEADER:])
    except (IndexError, ValueError, LookupError, StructError) as error:
        raise Unreadable(f"a deliver_sm that cannot be read: {type(error).__name__}") from None


def _read(body: bytes) -> _Delivered:
    _, at = _string(body, 0)  # service_type
    source, at = _number(body, at)
    destination, at = _number(body, at)
    esm_class = body[at]
    _, at = _string(body, at + 3)  # schedule_delivery_time, after protocol_id and priority_flag
    _, at = _string(body, at)  # validity_period
    coding, length = body[at + 2], body[at + 4]
    at += 5
    tlvs = dict(_tlvs(body, at + length))
    said = body[at : at + length] or tlvs.get(MESSAGE_PAYLOAD, b"")
    if esm_class & HAS_HEADER and said:
        said = said[said[0] + 1 :]
    return _Delivered(source, destination, esm_class, _decoded(said, coding), tlvs)


def _decoded(said: bytes, coding: int) -> str:
    """Whatever it is meant to be; what an alphabet does not have becomes a mark, for a STOP before it still counts."""
    try:
        name = SmppDataCoding(coding).name if coding else ALPHABET
        codec = find_codec_info(name)
    except (ValueError, LookupError):
        codec = find_codec_info("latin_1")
    return str(codec.decode(said, "replace")[0])


def _string(body: bytes, at: int) -> tuple[str, int]:
    end = body.index(0, at)
    return body[at:end].decode("latin-1"), end + 1


def _number(body: bytes, at: int) -> tuple[_Address, int]:
    ton, (number, end) = body[at], _string(body, at + 2)
    return _Address(ton, number), end


def _tlvs(body: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    while at + 4 <= len(body):
        tag, length = unpack_from("!HH", body, at)
        yield tag, body[at + 4 : at + 4 + length]
        at += 4 + length


def _address(number: str) -> PhoneNumber:
    digits = number.removeprefix("+")
    if not digits.isdigit():
        return PhoneNumber(digits, TON.ALPHANUMERIC, NPI.UNKNOWN)
    if number.startswith("+"):
        return PhoneNumber(digits, TON.INTERNATIONAL, NPI.ISDN)
    return PhoneNumber(digits, TON.ABBREVIATED, NPI.UNKNOWN)
