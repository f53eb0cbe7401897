"""Which gateways the settings ask for."""

from collections.abc import Callable, Mapping

from dispatcher.app_inbox import Inbox
from dispatcher.gateway import Gateway, Gateways
from dispatcher.gateway_smpp import SmppGateway
from dispatcher.gateway_telnyx import TelnyxGateway
from dispatcher.gateway_twilio import TwilioGateway
from dispatcher.provider import SMPP, TELNYX, TWILIO
from dispatcher.settings import Settings


def gateways_of(settings: Settings, inbox: Inbox) -> Gateways:
    """Those in use; open them with `async with`. What SMPP brings goes into the inbox."""
    make: Mapping[str, Callable[[], Gateway]] = {
        TWILIO: lambda: TwilioGateway(settings),
        TELNYX: lambda: TelnyxGateway(settings),
        SMPP: lambda: SmppGateway(settings, inbox),
    }
    return Gateways(settings.routing, {provider: make[provider]() for provider in sorted(settings.providers)})
