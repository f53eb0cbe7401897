"""Telnyx: POSTs to `/v2/messages` with an Idempotency-Key, which makes the same bytes safe to POST again."""

from types import TracebackType

from yarl import URL

from dispatcher import provider_telnyx as telnyx
from dispatcher.gateway_http import Http
from dispatcher.outcome import NoAnswer, Seen
from dispatcher.provider import Leaving, Text, unnoted
from dispatcher.settings import Settings

JSON = "application/json"


class TelnyxGateway:
    """Telnyx's message API."""

    def __init__(self, settings: Settings) -> None:
        self._url = URL(f"{settings.telnyx_url}/v2/messages")
        self._http = Http(settings, {"Authorization": f"Bearer {settings.telnyx_api_key}"})

    async def __aenter__(self) -> "TelnyxGateway":
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self._http.__aexit__(kind, error, at)

    def request(self, text: Text) -> bytes:
        return telnyx.request(text)

    async def post(self, request: bytes, key: str, leaving: Leaving = unnoted) -> Seen:
        seen = await self._http.post(self._url, request, JSON, {"Idempotency-Key": key}, leaving)
        return seen if isinstance(seen, NoAnswer) else telnyx.answer(seen.status, seen.body, seen.retry_after_s)
