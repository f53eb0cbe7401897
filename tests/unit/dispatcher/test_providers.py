"""Each provider's words, without a carrier: the same text has the same bytes, and nothing breaks a reader."""

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from struct import pack
from urllib.parse import parse_qs

import orjson
import pytest
from aiosmpplib.protocol import DeliverSm, SubmitSm
from aiosmpplib.state import TON, PduHeader, PhoneNumber, SmppCommand, SmppCommandStatus
from dispatcher import provider_smpp, provider_telnyx, provider_twilio
from dispatcher.outcome import Accepted
from dispatcher.provider import Inbound, Text, Unreadable, idempotency_key
from dispatcher.receipt import Delivered, NotDelivered
from hypothesis import given
from hypothesis import strategies as st

from schemas.reasons import FailureReason

RID = "11111111-1111-5111-8111-111111111111"
BACK = "https://example.org/webhooks/x/status?recipient=1&attempt=1&mac=2"
BODIES = ["Hello", "It costs 5 €", "“Curly” \U0001f600", "long " * 200, "ä" * 400]


def text(body: str) -> Text:
    return Text("+12025550123", "+12025550100", body, BACK)


@pytest.mark.parametrize("provider", [provider_twilio, provider_telnyx, provider_smpp])
@pytest.mark.parametrize("body", BODIES)
def test_the_same_text_has_the_same_bytes(provider: object, body: str) -> None:
    assert provider.request(text(body)) == provider.request(text(body))  # type: ignore[attr-defined]


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=1600))
def test_any_text_can_be_asked_for(body: str) -> None:
    for provider in (provider_twilio, provider_telnyx, provider_smpp):
        assert provider.request(text(body))


def test_a_key_is_the_attempts_own() -> None:
    assert idempotency_key(RID, 1) == idempotency_key(RID, 1)
    assert idempotency_key(RID, 1) != idempotency_key(RID, 2)


def test_twilio_is_asked_by_a_form() -> None:
    form = {name: values[0] for name, values in parse_qs(provider_twilio.request(text("a & b")).decode()).items()}
    assert form == {"To": "+12025550123", "From": "+12025550100", "Body": "a & b", "StatusCallback": BACK}


def test_telnyx_is_asked_by_json_and_told_where_to_report() -> None:
    assert orjson.loads(provider_telnyx.request(text("hi"))) == {
        "from": "+12025550100", "to": "+12025550123", "text": "hi", "webhook_url": BACK, "use_profile_webhooks": False,
    }  # fmt: skip


@pytest.mark.parametrize("body", BODIES)
def test_smpp_sends_one_submit_sm_however_long_the_text(body: str) -> None:
    pdu = provider_smpp.numbered(provider_smpp.request(text(body)), 7)
    head = provider_smpp.header(pdu)
    assert (head.length, head.command, head.sequence) == (len(pdu), provider_smpp.SUBMIT_SM, 7)
    parsed = PduHeader(head.length, SmppCommand.SUBMIT_SM, SmppCommandStatus.ESME_ROK, 7)
    found = SubmitSm.from_pdu(pdu, parsed, provider_smpp.ALPHABET)
    assert isinstance(found, SubmitSm)
    assert (found.short_message or found.message_payload) == body
    assert (found.destination.number, found.registered_delivery) == ("12025550123", 1)


@pytest.mark.parametrize("body", BODIES)
def test_smpp_asks_for_no_receipt_of_a_text_that_is_nobodys_attempt(body: str) -> None:
    """Its id is kept nowhere, so a receipt would be taken for the person's unknown text's (`parking.py`)."""
    pdu = provider_smpp.request(replace(text(body), status_callback=""))
    found = SubmitSm.from_pdu(pdu, PduHeader(len(pdu), SmppCommand.SUBMIT_SM, SmppCommandStatus.ESME_ROK, 0),
                              provider_smpp.ALPHABET)  # fmt: skip
    assert isinstance(found, SubmitSm)
    assert found.registered_delivery == 0


def event(kind: str, **payload: object) -> bytes:
    return orjson.dumps({"data": {"event_type": kind, "payload": {"id": "m1", **payload}}})


@pytest.mark.parametrize(
    ("kind", "status", "code", "proven"),
    [
        ("message.sent", "sent", None, Accepted("m1")),
        ("message.finalized", "delivered", None, Delivered("m1", None)),
        ("message.finalized", "delivery_failed", "40001", NotDelivered("m1", "40001", FailureReason.LANDLINE)),
        ("message.finalized", "sending_failed", "40300", NotDelivered("m1", "40300", FailureReason.OPTED_OUT)),
        ("message.finalized", "delivery_unconfirmed", None, None),
        ("message.finalized", None, None, None),
        ("message.other", "delivered", None, None),
    ],
)
def test_a_telnyx_webhook_proves(kind: str, status: str | None, code: str | None, proven: object) -> None:
    body = event(kind, to=[{"status": status}], errors=[{"code": code}] if code else [])
    assert provider_telnyx.receipt_of(body) == ("m1", proven)


WORDS = ["data", "payload", "id", "to", "from", "event_type", "errors", "code", "status", "phone_number"]
JSON = st.recursive(
    st.none() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=4),
    max_leaves=12,
)


@given(JSON.map(orjson.dumps) | st.binary(max_size=100))
def test_whatever_telnyx_sends_is_read_or_refused(body: bytes) -> None:
    for read in (provider_telnyx.receipt_of, provider_telnyx.inbound_of, provider_telnyx.is_inbound):
        with suppress(Unreadable):
            read(body)
    provider_telnyx.answer(200, body)


PERSON, OURS = PhoneNumber("12025550123"), PhoneNumber("12025550100")


def deliver(
    message: str, esm_class: int = 0b100, source: PhoneNumber = PERSON, destination: PhoneNumber = OURS
) -> bytes:
    pdu = DeliverSm(short_message=message, source=source, destination=destination, esm_class=esm_class)
    pdu.set_encoding_info(provider_smpp.ALPHABET, None)
    return bytes(pdu.pdu())


@pytest.mark.parametrize(
    ("stat", "err", "proven"),
    [
        ("DELIVRD", "000", Delivered("abc", None)),
        ("UNDELIV", "012", NotDelivered("abc", "UNDELIV 012", FailureReason.UNREACHABLE)),
        ("EXPIRED", "000", NotDelivered("abc", "EXPIRED", FailureReason.EXPIRED)),
        ("REJECTD", "000", NotDelivered("abc", "REJECTD", FailureReason.FILTERED)),
        ("UNDELIV", "\x01é;--", NotDelivered("abc", "UNDELIV", FailureReason.UNREACHABLE)),
        ("DELETED", "xyz", NotDelivered("abc", "DELETED xyz", FailureReason.UNKNOWN)),
        ("ACCEPTD", "000", Accepted("abc")),
        ("ENROUTE", "000", Accepted("abc")),
        ("UNKNOWN", "000", None),
    ],
)
def test_an_smpp_receipt_proves(stat: str, err: str, proven: object) -> None:
    pdu = deliver(f"id:abc sub:001 dlvrd:001 submit date:2603011200 done date:2603011201 stat:{stat} err:{err} text:Hi")
    assert provider_smpp.is_receipt(pdu)
    assert provider_smpp.receipt_of(pdu.hex().encode()) == ("abc", proven)


def test_an_smpp_receipt_may_say_it_in_parameters_only() -> None:
    tlvs = pack("!HH4s", 0x001E, 4, b"abc\0") + pack("!HHB", 0x0427, 1, 2)
    plain = deliver("-")
    pdu = pack("!I", len(plain) + len(tlvs)) + plain[4:] + tlvs
    assert provider_smpp.receipt_of(pdu.hex().encode()) == ("abc", Delivered("abc", None))


def test_what_a_person_sends_by_smpp_has_their_number_as_everywhere() -> None:
    pdu = deliver("STOP", esm_class=0)
    assert not provider_smpp.is_receipt(pdu)
    assert provider_smpp.inbound_of(pdu, "i1", "US") == Inbound("i1", "+12025550123", "+12025550100", "STOP")


@pytest.mark.parametrize(
    ("ton", "number", "region", "known_as"),
    [
        (TON.UNKNOWN, "2025550123", "US", "+12025550123"),
        (TON.NATIONAL, "2025550123", "US", "+12025550123"),
        (TON.UNKNOWN, "12025550123", "US", "+12025550123"),
        (TON.NATIONAL, "07400123456", "GB", "+447400123456"),
        (TON.UNKNOWN, "447400123456", "US", "+447400123456"),
        (TON.INTERNATIONAL, "447400123456", "US", "+447400123456"),
        (TON.INTERNATIONAL, "2025550123", "US", "+2025550123"),
        (TON.UNKNOWN, "12345", "US", "12345"),
        (TON.ABBREVIATED, "12345", "US", "12345"),
        (TON.ALPHANUMERIC, "Handsent", "US", "Handsent"),
    ],
)
def test_a_number_by_smpp_is_the_one_that_its_type_and_our_region_say(
    ton: TON, number: str, region: str, known_as: str
) -> None:
    address = PhoneNumber(number, ton)
    pdu = deliver("STOP", esm_class=0, source=address, destination=address)
    assert provider_smpp.inbound_of(pdu, "i1", region)[1:3] == (known_as, known_as)
    assert provider_smpp.parties_of(pdu.hex().encode(), region) == (known_as, known_as)


@pytest.mark.parametrize(
    ("received_at", "sent_at"),
    [
        ("2026-03-01T12:00:00.574Z", datetime(2026, 3, 1, 12, 0, 0, 574000, UTC)),
        ("2026-03-01T13:00:00+01:00", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("2026-03-01T12:00:00", None),
        ("0001-01-01T00:00:00+14:00", None),
        ("noon", None),
        (1, None),
        (None, None),
    ],
)
def test_telnyx_tells_when_a_person_wrote(received_at: object, sent_at: datetime | None) -> None:
    number, sender = {"phone_number": "+12025550123"}, {"phone_number": "+12025550100"}
    body = event("message.received", **{"from": number}, to=[sender], text="START", received_at=received_at)
    assert provider_telnyx.inbound_of(body).sent_at == sent_at


@given(st.binary(min_size=0, max_size=120))
def test_whatever_smpp_brings_is_read_or_refused(body: bytes) -> None:
    pdu = provider_smpp.short(provider_smpp.DELIVER_SM, 1, 0, body)
    for read in (provider_smpp.is_receipt, lambda p: provider_smpp.inbound_of(p, "i", "US")):
        with suppress(Unreadable):
            read(pdu)
    with suppress(Unreadable):
        provider_smpp.receipt_of(pdu.hex().encode())
    provider_smpp.answer(0, body)
