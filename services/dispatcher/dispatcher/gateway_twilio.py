"""Twilio: one POST to `Messages.json` per intent, and its list of messages."""

import base64
from collections.abc import Mapping
from types import TracebackType

from yarl import URL

from dispatcher import provider_twilio as twilio
from dispatcher.gateway_http import Http
from dispatcher.outcome import NoAnswer, Seen
from dispatcher.provider import Leaving, Text, unnoted
from dispatcher.settings import Settings

FORM = "application/x-www-form-urlencoded"


class TwilioGateway:
    """Twilio's message API. It takes no idempotency keys."""

    def __init__(self, settings: Settings) -> None:
        sid = settings.twilio_account_sid
        credentials = base64.b64encode(f"{sid}:{settings.twilio_auth_token}".encode()).decode()
        self._url = URL(f"{settings.carrier_url}/{twilio.API_VERSION}/Accounts/{sid}/Messages.json")
        self._http = Http(settings, {"Authorization": f"Basic {credentials}"})

    async def __aenter__(self) -> "TwilioGateway":
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self._http.__aexit__(kind, error, at)

    def request(self, text: Text) -> bytes:
        return twilio.request(text)

    async def post(self, request: bytes, key: str, leaving: Leaving = unnoted) -> Seen:
        seen = await self._http.post(self._url, request, FORM, leaving=leaving)
        return seen if isinstance(seen, NoAnswer) else twilio.answer(seen.status, seen.body, seen.retry_after_s)

    async def listed(self, query: Mapping[str, str]) -> bytes | None:
        """A page of the carrier's list of messages; None when it cannot be had."""
        return await self._http.get(self._url, query)
