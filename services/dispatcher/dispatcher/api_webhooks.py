"""The carrier's webhooks: status callbacks and inbound messages, signed over our public URL."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request, Response
from kernel.database import Pool
from kernel.web import Direct, Problem, read_body
from twilio.request_validator import RequestValidator

from dispatcher import callback, keywords, receipt, store_replies
from dispatcher.app_batcher import Batcher
from dispatcher.app_outcomes import Callback, Outcomes
from dispatcher.outcome import LONGEST_ID
from dispatcher.settings import Settings
from dispatcher.store_attempts import Proof
from dispatcher.store_replies import Reply

LARGEST_FORM = 64 * 1024
MOST_FIELDS = 200
SENDER_PATIENCE_S, SENDER_POLL_S = 2.0, 0.1
INBOUND_LINGER_S, INBOUND_PATIENCE_S = 0.005, 8.0
NOTHING_TO_SAY = b'<?xml version="1.0" encoding="UTF-8"?><Response/>'


class Webhooks:
    """Endpoints that read the raw request: no validation layer, for every message comes by here."""

    def __init__(self, pool: Pool, outcomes: Outcomes, settings: Settings, relay: asyncio.Event) -> None:
        self._pool, self._outcomes, self._relay = pool, outcomes, relay
        self._public_url, self._secret = settings.public_url, settings.person_id_secret
        self._callback_key = settings.callback_key.encode()
        self._signatures = RequestValidator(settings.twilio_auth_token)
        self._replies = Batcher[Reply]("replies", self._receive, INBOUND_LINGER_S, INBOUND_PATIENCE_S)

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/webhooks/twilio", route_class=Direct, tags=["webhooks"])
        router.add_api_route("/status", self.status, methods=["POST"], status_code=204, response_model=None)
        router.add_api_route("/inbound", self.inbound, methods=["POST"], response_model=None)
        return router

    async def status(self, request: Request) -> Response:
        """A receipt: stored and, where it is about an attempt of ours, in effect before it is answered."""
        signed = await self._signed(request)
        try:
            proven = receipt.read(signed.form)
        except receipt.Unreadable as error:
            raise Problem(400, "bad_callback", str(error)) from None
        key, now = callback.read(request.query_params, self._callback_key), datetime.now(UTC)
        proof = Proof(*key, proven, now) if key is not None and proven is not None else None
        await self._outcomes.receive(Callback(now, key, signed.body, proof))
        return Response(status_code=204)

    async def inbound(self, request: Request) -> Response:
        """What a person answered: stored, and a STOP in force, before it is answered."""
        form = (await self._signed(request)).form
        reply = _reply(form, datetime.now(UTC))
        await self._until_known(reply.sender)
        await self._replies.put(reply)
        return Response(NOTHING_TO_SAY, media_type="text/xml")

    async def _signed(self, request: Request) -> "_Signed":
        """The form, if the carrier signed it for exactly the URL it was given. Raises Problem 403, 413 or 400."""
        body = await read_body(request, LARGEST_FORM)
        query = request.url.query
        url = f"{self._public_url}{request.url.path}{'?' + query if query else ''}"
        try:
            form = dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS))
        except ValueError:
            raise Problem(400, "bad_form", "The body is not a form in UTF-8.") from None
        if not self._signatures.validate(url, form, request.headers.get("x-twilio-signature", "")):
            raise Problem(403, "bad_signature", "The signature is not the carrier's.")
        return _Signed(form, body)

    async def _until_known(self, sender: str) -> None:
        """A person can answer before the campaign's first event has reached us; after a while the reply is parked."""
        deadline = asyncio.get_running_loop().time() + SENDER_PATIENCE_S
        while await store_replies.owner_of(self._pool, sender) is None:
            if asyncio.get_running_loop().time() > deadline:
                return
            await asyncio.sleep(SENDER_POLL_S)

    async def _receive(self, replies: Sequence[Reply]) -> None:
        if await store_replies.receive(self._pool, replies, self._secret):
            self._relay.set()


@dataclass(frozen=True, slots=True)
class _Signed:
    form: dict[str, str]
    body: bytes


def _reply(form: dict[str, str], now: datetime) -> Reply:
    sid, number, sender = (form.get(field, "").strip() for field in ("MessageSid", "From", "To"))
    if not all(0 < len(value) <= LONGEST_ID and value.isprintable() for value in (sid, number, sender)):
        raise Problem(400, "bad_message", "MessageSid, From or To is missing or absurd.")
    body = form.get("Body", "").replace("\0", "")  # Postgres keeps no NUL
    return Reply(sid, number, sender, body, keywords.verdict(body, form.get("OptOutType", "")), now)
