"""Whatever bytes come to the webhooks, signed or not: refused or harmless, never a 5xx, and real ones are not lost."""

import asyncio
import base64
import http.client
import random
from urllib.parse import quote_plus, urlencode, urlsplit
from uuid import uuid4

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator

from tests.integration.dispatcher.world import ENVIRONMENT, Stack, World

STATUS, INBOUND = "/webhooks/twilio/status", "/webhooks/twilio/inbound"
SIGN = RequestValidator(ENVIRONMENT["TWILIO_AUTH_TOKEN"]).compute_signature
FORM = "application/x-www-form-urlencoded"
KINDS = [
    FORM,
    f"{FORM}; charset=UTF-16",
    "application/json",
    "text/plain",
    "multipart/form-data; boundary=x",
    "",
    "\xff",
]
ANSWERS = {200, 204, 400, 403, 404, 405, 411, 413, 414, 415, 431}
GENUINE = {"MessageSid": "SM" + "9" * 32, "From": "+12025550123", "To": "+12025550100", "Body": "When do you open?"}
RECEIPT = {"MessageSid": "SM" + "9" * 32, "MessageStatus": "delivered"}
MANY = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
paths = st.sampled_from([STATUS, INBOUND])
ABSURD = ["", "\0", "9" * 300, "-1", "+" + "1" * 70, "\u202e", "'; DROP TABLE replies", "\ufeff", "٣"]
absurd = st.one_of(st.text(max_size=80), st.sampled_from(ABSURD))
names = st.sampled_from(
    ["MessageSid", "From", "To", "Body", "MessageStatus", "ErrorCode", "OptOutType", "SmsSid", "", "\0", "body"]
)


@pytest.fixture(scope="module", autouse=True)
def known_sender(stack: Stack) -> None:
    """A reply to a number that nobody owns would be waited with: its campaign may be on its way."""

    async def insert() -> None:
        database = await asyncpg.connect(stack.database_url, server_settings={"search_path": "dispatcher"})
        await database.execute("INSERT INTO senders VALUES ($1, $2)", GENUINE["To"], str(uuid4()))
        await database.close()

    asyncio.run(insert())


def post(stack: Stack, target: str, body: bytes, **headers: str) -> int:
    """The status of a request whose bytes no client has put right."""
    where = urlsplit(stack.url)
    connection = http.client.HTTPConnection(str(where.hostname), where.port, timeout=20)
    try:
        connection.putrequest("POST", target, skip_accept_encoding=True)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            connection.putheader(name.replace("_", "-"), value.encode("latin-1", "replace"))
        connection.endheaders(body)
        return connection.getresponse().status
    finally:
        connection.close()


def signed(stack: Stack, target: str, form: dict[str, str]) -> str:
    signature: str = SIGN(f"{stack.url}{target}", form)
    return signature


@MANY
@given(paths, st.binary(max_size=2000), st.sampled_from(KINDS), st.binary(max_size=40))
def test_bytes_that_mean_nothing_are_refused(stack: Stack, path: str, body: bytes, kind: str, mac: bytes) -> None:
    assert post(stack, path, body, Content_Type=kind, X_Twilio_Signature=base64.b64encode(mac).decode()) in (
        ANSWERS - {200, 204}
    )


@MANY
@given(paths, st.text(alphabet=st.characters(codec="latin-1", exclude_characters="\r\n\0"), max_size=60))
def test_signatures_that_mean_nothing_are_refused(stack: Stack, path: str, signature: str) -> None:
    assert post(stack, path, urlencode(GENUINE).encode(), Content_Type=FORM, X_Twilio_Signature=signature) in (400, 403)


@MANY
@given(st.data(), st.integers(0, 2**32))
def test_a_genuine_webhook_with_one_piece_changed_is_refused_or_is_the_same(
    stack: Stack, data: st.DataObject, seed: int
) -> None:
    path, form = data.draw(st.sampled_from([(STATUS, RECEIPT), (INBOUND, GENUINE)]))
    body, rng = bytearray(urlencode(form).encode()), random.Random(seed)
    at = rng.randrange(len(body))
    match data.draw(st.sampled_from(["cut", "flip", "insert", "twice", "shuffle"])):
        case "cut":
            del body[at:]
        case "flip":
            body[at] ^= 1 << rng.randrange(8)
        case "insert":
            body[at:at] = rng.randbytes(3)
        case "twice":
            body += b"&" + bytes(body)
        case _:
            parts = bytes(body).split(b"&")
            rng.shuffle(parts)
            body = bytearray(b"&".join(parts))
    assert post(stack, path, bytes(body), Content_Type=FORM, X_Twilio_Signature=signed(stack, path, form)) in ANSWERS


@MANY
@given(paths, st.dictionaries(names, absurd, max_size=6), st.sampled_from(KINDS))
def test_absurd_forms_that_are_signed_are_refused_or_harmless(
    stack: Stack, path: str, form: dict[str, str], kind: str
) -> None:
    form = {name: value.encode("utf-8", "replace").decode() for name, value in form.items()}
    body = urlencode(form).encode()
    assert post(stack, path, body, Content_Type=kind, X_Twilio_Signature=signed(stack, path, form)) in ANSWERS


@MANY
@given(st.dictionaries(st.sampled_from(["recipient", "attempt", "mac", "x"]), absurd), st.integers(0, 300))
def test_absurd_addresses_that_are_signed_are_harmless(stack: Stack, query: dict[str, str], more: int) -> None:
    target = f"{STATUS}?{urlencode(query)}{'&a=1' * more}"
    if len(target) > 8000:
        return
    assert post(stack, target, urlencode(RECEIPT).encode(), Content_Type=FORM,
                X_Twilio_Signature=signed(stack, target, RECEIPT)) in ANSWERS  # fmt: skip


STOP_FORM = urlencode({**GENUINE, "Body": "stöp"})


@pytest.mark.parametrize(
    "body",
    [
        STOP_FORM.encode("utf-16"),
        urlencode({**GENUINE, "Body": "stöp"}, encoding="latin-1").encode(),
        b"MessageSid=SM1&From=%2B1&To=%2B1&Body=" + "stöp".encode("latin-1"),
        b"MessageSid=SM1&From=%2B1&To=%2B1&Body=%ED%A0%80%ZZ%",
        b"MessageSid=SM1&MessageSid=SM2&From=%2B1&To=%2B1&Body=STOP",
        b"MessageSid[]=SM1&From=%2B1&To=%2B1&Body=STOP",
        b'{"MessageSid": "SM1", "From": "+1", "To": "+1", "Body": "STOP"}',
        b"<Response/>",
        b"\x1f\x8b\x08\x00",
        b"Body=" + b"STOP" * 17_000,
        b"&" * 60_000,
        b"=" * 60_000,
        b"%" * 60_000,
        b"a=1&" * 15_000,
        b"",
    ],
    ids=lambda body: repr(bytes(body[:24])),
)
@pytest.mark.parametrize("path", [STATUS, INBOUND])
def test_bodies_in_other_shapes_and_encodings_are_refused(stack: Stack, path: str, body: bytes) -> None:
    for signature in (signed(stack, path, {}), signed(stack, path, GENUINE), "", "x" * 5000):
        status = post(stack, path, body, Content_Type=FORM, X_Twilio_Signature=signature)
        assert status in ANSWERS - {200, 204}


async def test_real_webhooks_are_not_lost_among_a_flood_of_false_ones(sending: World) -> None:
    numbers = [sending.number() for _ in range(40)]
    flood = asyncio.create_task(asyncio.to_thread(_flood, sending.stack))
    assert set(await asyncio.gather(*(sending.replies(number, "STOP") for number in numbers))) == {200}
    assert await flood <= {400, 403, 413}
    out = {row["phone"] for row in (await sending.call("GET", "/opt-outs", params={"limit": "500"}))[1]["opt_outs"]}
    assert out >= set(numbers)


def _flood(stack: Stack) -> set[int]:
    rng = random.Random(3)
    forms = [quote_plus(rng.randbytes(200)).encode() for _ in range(200)]
    return {post(stack, rng.choice([STATUS, INBOUND]), form, Content_Type=FORM) for form in forms}


async def test_a_webhook_that_is_replayed_changes_nothing(sending: World) -> None:
    number, reply = sending.number(), {"message_id": "SM7" + sending.campaign_id}
    assert await sending.replies(number, "STOP", **reply) == 200
    assert await sending.replies(number, "START") == 200
    for _ in range(3):
        assert await sending.replies(number, "STOP", **reply) == 200
    assert (await sending.opt_outs(number))[1] == {"opt_outs": []}
