"""The outcome table, row by row, on a real connection: the same suite for every provider."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from dispatcher import outcome
from dispatcher.gateway import Gateway, Gateways
from dispatcher.gateway_smpp import SmppGateway
from dispatcher.gateway_telnyx import TelnyxGateway
from dispatcher.gateway_twilio import TwilioGateway
from dispatcher.outcome import Accepted, Again, Key, NotAccepted, Rejected, Unknown
from dispatcher.provider import PROVIDERS, SMPP, TELNYX, TWILIO, Text
from dispatcher.settings import Settings

from schemas.reasons import FailureReason, NotAcceptedReason, UnresolvedReason
from tests.integration.dispatcher.providers.carriers import STATUS, Carrier, Does, carrier_of
from tests.integration.dispatcher.world import ENVIRONMENT

TEXT = Text("+12025550123", "+12025550100", "Hello, €", "https://example.org/webhooks/x/status?attempt=1")
KEY = "0b7f9a34-0000-5000-8000-000000000001"
NO_INBOX: Any = None  # no carrier here brings anything
KEYS = {TWILIO: Key.NONE, SMPP: Key.NONE, TELNYX: Key.FIRST}


def settings_for(provider: str, port: int) -> Settings:
    given: dict[str, Any] = {name.lower(): value for name, value in ENVIRONMENT.items()}
    url = f"http://127.0.0.1:{port}"
    return Settings(
        **given, database_url="postgresql://nobody@127.0.0.1/none", kafka_bootstrap="127.0.0.1:1", provider=provider,
        carrier_url=url, telnyx_url=url, telnyx_api_key="a key", telnyx_public_key="A" * 43 + "=",
        smpp_address=f"127.0.0.1:{port}", smpp_system_id="us", smpp_password="secret", carrier_timeout_s=0.5,
        carrier_connect_timeout_s=0.5,
    )  # fmt: skip


def gateway_for(provider: str, port: int) -> Gateway:
    settings = settings_for(provider, port)
    if provider == SMPP:
        return SmppGateway(settings, NO_INBOX)
    return TelnyxGateway(settings) if provider == TELNYX else TwilioGateway(settings)


@pytest.fixture(params=PROVIDERS)
async def carrier(request: pytest.FixtureRequest) -> AsyncIterator[Carrier]:
    async with carrier_of(request.param) as carrier:
        yield carrier


@pytest.fixture
async def gateway(carrier: Carrier) -> AsyncIterator[Gateway]:
    async with gateway_for(carrier.provider, carrier.port) as gateway:
        yield gateway


async def asked(gateway: Gateway, carrier: Carrier, does: Does, key: Key | None = None) -> outcome.Result:
    carrier.does = does
    seen = await gateway.post(gateway.request(TEXT), KEY)
    return outcome.classify(seen, key or KEYS[carrier.provider])


def is_doubt(result: outcome.Result, provider: str, why: UnresolvedReason) -> bool:
    """Unknown at once without a key; with one, asked again."""
    if provider == TELNYX:
        return isinstance(result, Again) and result.doubt.reason == why
    return isinstance(result, Unknown) and result.reason == why


async def test_what_it_takes_is_accepted_with_its_id(gateway: Gateway, carrier: Carrier) -> None:
    result = await asked(gateway, carrier, Does.TAKES)
    assert isinstance(result, Accepted)
    assert result.carrier_message_id == "M1"
    assert len(carrier.requests) == 1


async def test_nothing_was_written_to_a_carrier_that_is_away() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
    for provider in PROVIDERS:
        async with gateway_for(provider, port) as gateway:
            seen = await gateway.post(gateway.request(TEXT), KEY)
            result = outcome.classify(seen, KEYS[provider])
        assert result == NotAccepted(NotAcceptedReason.COULD_NOT_CONNECT)


DOUBTS = [
    (Does.TAKES_UNREADABLY, UnresolvedReason.UNREADABLE_ANSWER),
    (Does.ANSWERS_HALF, UnresolvedReason.UNREADABLE_ANSWER),
    (Does.RESETS, UnresolvedReason.CONNECTION_LOST),
    (Does.IS_SILENT, UnresolvedReason.TIMEOUT),
    (Does.TIMES_OUT, UnresolvedReason.CARRIER_ERROR),
    (Does.CONFLICTS, UnresolvedReason.CARRIER_ERROR),
    (Does.IS_TOO_EARLY, UnresolvedReason.CARRIER_ERROR),
]


def says(provider: str, does: Does) -> bool:
    """Whether a carrier of this provider can do that."""
    return provider != SMPP or does in STATUS or does in (Does.RESETS, Does.IS_SILENT)


@pytest.mark.parametrize(("does", "why"), DOUBTS)
async def test_a_doubt_is_unknown_or_asked_again_and_written_once(
    gateway: Gateway, carrier: Carrier, does: Does, why: UnresolvedReason
) -> None:
    if not says(carrier.provider, does):
        does, why = Does.RESETS, UnresolvedReason.CONNECTION_LOST
    assert is_doubt(await asked(gateway, carrier, does), carrier.provider, why)
    await asyncio.sleep(0.1)
    assert len(carrier.requests) == 1, "no library retries"


async def test_a_carrier_in_trouble_makes_an_unknown_with_or_without_a_key(gateway: Gateway, carrier: Carrier) -> None:
    for key in (KEYS[carrier.provider], Key.REPEATED if carrier.provider == TELNYX else Key.NONE):
        result = await asked(gateway, carrier, Does.BREAKS, key)
        assert isinstance(result, Unknown) and result.reason == UnresolvedReason.CARRIER_ERROR
    assert len(carrier.requests) == 2


async def test_a_redirect_is_not_followed(gateway: Gateway, carrier: Carrier) -> None:
    if carrier.provider != SMPP:
        assert isinstance(await asked(gateway, carrier, Does.REDIRECTS), Unknown)
        assert len(carrier.requests) == 1


async def test_throttled_means_not_taken_and_says_how_long_to_wait(gateway: Gateway, carrier: Carrier) -> None:
    result = await asked(gateway, carrier, Does.THROTTLES)
    assert isinstance(result, NotAccepted) and result.reason == NotAcceptedReason.THROTTLED
    assert result.retry_after_s == (None if carrier.provider == SMPP else 7.0)
    assert len(carrier.requests) == 1


async def test_a_refusal_is_final_and_has_a_reason(gateway: Gateway, carrier: Carrier) -> None:
    result = await asked(gateway, carrier, Does.REFUSES)
    assert isinstance(result, Rejected) and result.reason == FailureReason.INVALID_NUMBER
    if carrier.provider != SMPP:
        result = await asked(gateway, carrier, Does.REFUSES_FOR_AN_OPT_OUT)
        assert isinstance(result, Rejected) and result.reason == FailureReason.OPTED_OUT


async def test_the_same_text_is_the_same_bytes_on_the_wire(gateway: Gateway, carrier: Carrier) -> None:
    await asked(gateway, carrier, Does.TAKES)
    await asked(gateway, carrier, Does.TAKES)
    assert carrier.requests[0] == carrier.requests[1]
    assert carrier.keys == [KEY if carrier.provider == TELNYX else None] * 2
    assert Gateways.keyed(carrier.provider) == (carrier.provider == TELNYX)


async def test_many_at_once_are_told_apart(gateway: Gateway, carrier: Carrier) -> None:
    carrier.does = Does.TAKES
    seen = await asyncio.gather(*(gateway.post(gateway.request(TEXT), KEY) for _ in range(100)))
    assert all(isinstance(outcome.classify(one), Accepted) for one in seen)
    assert len(carrier.requests) == 100


async def test_after_a_lost_connection_there_is_another(gateway: Gateway, carrier: Carrier) -> None:
    assert is_doubt(await asked(gateway, carrier, Does.RESETS), carrier.provider, UnresolvedReason.CONNECTION_LOST)
    for _ in range(20):  # a session that must be bound anew takes a moment, in which nothing is written
        if isinstance(result := await asked(gateway, carrier, Does.TAKES), Accepted):
            return
        assert isinstance(result, NotAccepted)
    pytest.fail("no other connection")
