"""Telnyx's webhooks: JSON, signed with Ed25519 over a timestamp and the body."""

import base64
import binascii
import time

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from fastapi import APIRouter, Request, Response
from kernel.openapi import opens, refuses, takes_json
from kernel.web import Direct, Problem, read_body

from dispatcher import callback
from dispatcher import provider_telnyx as telnyx
from dispatcher.app_inbox import Inbox
from dispatcher.provider import TELNYX, Unreadable
from dispatcher.settings import Settings

STATUS, INBOUND = callback.path(TELNYX), f"/webhooks/{TELNYX}/inbound"
LARGEST_BODY = 64 * 1024
# A webhook that is older, or of the future, may be one that somebody recorded: its signature stays good for ever.
TOLERANCE_S = 300


class TelnyxWebhooks:
    """Endpoints that read the raw request, as Twilio's do. Without a public key they refuse everything."""

    def __init__(self, inbox: Inbox, settings: Settings) -> None:
        self._inbox, self._callback_key = inbox, settings.callback_key.encode()
        given = settings.telnyx_public_key
        self._key = Ed25519PublicKey.from_public_bytes(base64.b64decode(given)) if given else None
        self.endpoints = {STATUS: self.status, INBOUND: self.inbound}

    def router(self) -> APIRouter:
        router = APIRouter(route_class=Direct, tags=["webhooks"])
        signed = {**opens("the carrier's, who signs what it sends"), **takes_json()}
        for path, endpoint in self.endpoints.items():
            router.add_api_route(path, endpoint, methods=["POST"], status_code=204, response_model=None,
                                 openapi_extra=signed, responses=refuses(403))  # fmt: skip
        return router

    async def status(self, request: Request) -> Response:
        """A receipt: stored and, where it is about an attempt of ours, in effect before it is answered."""
        return await self._taken(request)

    async def inbound(self, request: Request) -> Response:
        """What a person answered: stored, and a STOP in force, before it is answered."""
        return await self._taken(request)

    async def _taken(self, request: Request) -> Response:
        """Telnyx sends every event to the profile's one address, but for messages that name another: the event says
        what it is, not the path."""
        body = await self._signed(request)
        try:
            if telnyx.is_inbound(body):
                await self._inbox.reply(TELNYX, telnyx.inbound_of(body))
            else:
                id_, receipt = telnyx.receipt_of(body)
                key = callback.read(callback.fields(request.scope["query_string"]), self._callback_key)
                await self._inbox.receipt(TELNYX, id_, body, receipt, key)
        except Unreadable as error:
            raise Problem(400, "bad_event", str(error)) from None
        return Response(status_code=204)

    async def _signed(self, request: Request) -> bytes:
        """The body, if the carrier signed it lately. Raises Problem 403, 413, 400."""
        body = await read_body(request, LARGEST_BODY)
        timestamp = request.headers.get("telnyx-timestamp", "")
        signature = request.headers.get("telnyx-signature-ed25519", "")
        if not (self._is_signed(timestamp, body, signature) and _is_recent(timestamp)):
            raise Problem(403, "bad_signature", "The signature is not the carrier's, or it is too old.")
        try:
            body.decode()
        except UnicodeDecodeError:
            raise Problem(400, "bad_body", "The body is not UTF-8.") from None
        return body

    def _is_signed(self, timestamp: str, body: bytes, signature: str) -> bool:
        if self._key is None:
            return False
        try:
            self._key.verify(base64.b64decode(signature, validate=True), timestamp.encode() + b"|" + body)
        except (InvalidSignature, binascii.Error, ValueError):
            return False
        return True


def _is_recent(timestamp: str) -> bool:
    digits = timestamp.isascii() and timestamp.isdigit() and len(timestamp) < 12
    return digits and abs(time.time() - int(timestamp)) <= TOLERANCE_S
