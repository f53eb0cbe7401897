"""The carrier's webhooks: status callbacks and inbound messages, signed over our public URL."""

import hmac
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

import structlog
from fastapi import APIRouter, FastAPI, Request, Response
from kernel.errors import retriable
from kernel.openapi import opens, refuses, takes_form, text
from kernel.web import Direct, Problem, problem_response, read_body
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send
from twilio.request_validator import RequestValidator

from dispatcher import callback
from dispatcher import provider_twilio as twilio
from dispatcher.api_telnyx import TelnyxWebhooks
from dispatcher.app_inbox import Inbox
from dispatcher.provider import TWILIO, Unreadable
from dispatcher.settings import Settings

log = structlog.get_logger()

STATUS, INBOUND = callback.path(TWILIO), f"/webhooks/{TWILIO}/inbound"
LARGEST_FORM = 64 * 1024
MOST_FIELDS = 200
XML = '<?xml version="1.0" encoding="UTF-8"?>'


class Webhooks:
    """Endpoints that read the raw request: no validation layer, for every message comes by here."""

    def __init__(self, inbox: Inbox, settings: Settings) -> None:
        self._inbox, self._public_url = inbox, settings.public_url
        self._callback_key = settings.callback_key.encode()
        self._signatures = RequestValidator(settings.twilio_auth_token)
        self._telnyx = TelnyxWebhooks(inbox, settings)

    def router(self) -> APIRouter:
        """The endpoints as routes, for OpenAPI; `ahead_of` serves them."""
        router = APIRouter(route_class=Direct, tags=["webhooks"])
        signed = {**opens("the carrier's, who signs what it sends"), **takes_form()}
        router.add_api_route(STATUS, self.status, methods=["POST"], status_code=204, response_model=None,
                             openapi_extra=signed, responses=refuses(403))  # fmt: skip
        router.add_api_route(INBOUND, self.inbound, methods=["POST"], response_class=Response, openapi_extra=signed,
                             responses={**refuses(403), **text("text/xml", "The answer, if any (TwiML)")})  # fmt: skip
        router.include_router(self._telnyx.router())
        return router

    def ahead_of(self, api: FastAPI) -> ASGIApp:
        """The webhooks, then the rest: a framework's layers and routing would cost 90 µs of a receipt's 150."""
        endpoints = {STATUS: self.status, INBOUND: self.inbound, **self._telnyx.endpoints}

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            endpoint = endpoints.get(scope.get("path", ""))
            if endpoint is None or scope["method"] != "POST":
                await api(scope, receive, send)
                return
            response = await answered(endpoint, Request(scope, receive))
            await response(scope, receive, send)

        return app

    async def status(self, request: Request) -> Response:
        """A receipt: stored and, where it is about an attempt of ours, in effect before it is answered."""
        form, body = await self._signed(request)
        try:
            sid, receipt = twilio.receipt_of(form)
        except Unreadable as error:
            raise Problem(400, "bad_callback", str(error)) from None
        key = callback.read(callback.fields(request.scope["query_string"]), self._callback_key)
        await self._inbox.receipt(TWILIO, sid, body, receipt, key)
        return Response(status_code=204)

    async def inbound(self, request: Request) -> Response:
        """What a person answered: stored, and a STOP in force, before it is answered; confirmed in the answer."""
        form, _ = await self._signed(request)
        try:
            inbound = twilio.inbound_of(form)
        except Unreadable as error:
            raise Problem(400, "bad_message", str(error)) from None
        reply = await self._inbox.reply(TWILIO, inbound)
        return Response(_twiml(await self._inbox.answer_to(reply)), media_type="text/xml")

    async def _signed(self, request: Request) -> tuple[dict[str, str], bytes]:
        """The form, and as it came, if the carrier signed it for the URL it was given. Raises Problem 403, 413, 400."""
        body = await read_body(request, LARGEST_FORM)
        try:
            form = dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS))
        except ValueError:
            raise Problem(400, "bad_form", "The body is not a form in UTF-8.") from None
        query = request.scope["query_string"].decode("latin-1")
        url = f"{self._public_url}{request.scope['path']}{'?' + query if query else ''}"
        if not self._is_signed(url, form, request.headers.get("x-twilio-signature", "")):
            raise Problem(403, "bad_signature", "The signature is not the carrier's.")
        return form, body

    def _is_signed(self, url: str, form: dict[str, str], signature: str) -> bool:
        # The vendor's `validate` also tries the URL with and without its port, for three times the price.
        expected: str = self._signatures.compute_signature(url, form)
        exact = hmac.compare_digest(expected.encode(), signature.encode())
        return exact or bool(self._signatures.validate(url, form, signature))


async def answered(endpoint: Callable[[Request], Awaitable[Response]], request: Request) -> Response:
    """The endpoint's answer, or the problem it raised."""
    try:
        return await endpoint(request)
    except Problem as problem:
        return problem_response(problem)
    except ClientDisconnect:
        return Response(status_code=400)
    except Exception as error:
        if retriable(error):
            log.warning("webhook_failed", error=type(error).__name__)
            return problem_response(Problem(503, "try_again", "Something this needs is away. Try again."))
        log.error("webhook_broke", exc_info=error)
        return problem_response(Problem(500, "internal", "Something went wrong on our side."))


def _twiml(words: str) -> str:
    return f"{XML}<Response><Message>{escape(words)}</Message></Response>" if words else f"{XML}<Response/>"
