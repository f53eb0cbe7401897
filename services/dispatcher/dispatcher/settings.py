"""The dispatcher's settings, each an environment variable of the same name in capitals."""

import base64
import binascii
import json
from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from kernel.settings import VaultSettings
from pydantic import Field, field_validator, model_validator

from dispatcher.budget import Limits
from dispatcher.notice import Kind, Texts
from dispatcher.provider import PROVIDERS, SMPP, TELNYX
from dispatcher.routing import Routing

HTTP_URL = r"^https?://[^/]+.*[^/]$"


def _answer(words: str) -> Any:
    return Field(words, max_length=480, pattern=r"^[^\x00-\x1f]*$")


class Settings(VaultSettings):
    """What only the dispatcher needs: the carrier, how to be reached by it, how hard to press it."""

    dispatcher_port: int = Field(8001, gt=0, lt=65536)
    carrier_port: int = Field(8010, gt=0, lt=65536)
    carrier_url: str = Field("", pattern=rf"^$|{HTTP_URL}")
    public_url: str = Field("", pattern=rf"^$|{HTTP_URL}")
    provider: Literal["twilio", "telnyx", "smpp"] = "twilio"
    sender_providers: str = ""
    twilio_account_sid: str = Field(min_length=1)
    twilio_auth_token: str = Field(min_length=1, repr=False)
    telnyx_url: str = Field("", pattern=rf"^$|{HTTP_URL}")
    telnyx_api_key: str = Field("", repr=False)
    telnyx_public_key: str = Field("", repr=False)
    smpp_address: str = Field("", pattern=r"^$|^[^\s:]+:\d{1,5}$")
    smpp_system_id: str = Field("", max_length=15)
    smpp_password: str = Field("", max_length=8, repr=False)
    key_life_s: int = Field(86_400, ge=1)
    repeat_after_s: float = Field(15.0, ge=0)
    look_up_s: float = Field(60.0, ge=0)
    callback_key: str = Field(min_length=16, repr=False)
    carrier_connections: int = Field(128, ge=1, le=1000)
    carrier_connect_timeout_s: float = Field(3.0, gt=0)
    carrier_timeout_s: float = Field(15.0, gt=0, le=60)
    unconfirmed_after_s: int = Field(259_200, ge=1)
    useful_for_s: int = Field(0, ge=0, le=31_536_000)

    @property
    def useful_for(self) -> timedelta | None:
        """How long after it was due a message is worth sending; None: for ever."""
        return timedelta(seconds=self.useful_for_s) if self.useful_for_s else None

    # Each fits into one segment; empty says nothing.
    stop_confirmation: str = _answer("You will get no more texts from us. Reply START if you want them again.")
    start_confirmation: str = _answer("You will get texts from us again. Reply STOP at any time to end them.")
    help_answer: str = _answer("People write these texts by hand. Reply STOP to get no more of them.")

    @property
    def answers(self) -> Texts:
        """What replies are answered with."""
        words = {
            Kind.STOPPED: self.stop_confirmation,
            Kind.STARTED: self.start_confirmation,
            Kind.HELP: self.help_answer,
        }
        return Texts(words)

    unknown_hold_s: int = Field(60, ge=0)
    sender_segments_per_s: float = Field(0, ge=0)
    sender_limits: dict[str, Annotated[float, Field(ge=0)]] = Field({})
    campaign_segments_per_minute: int = Field(0, ge=0)
    account_segments_per_minute: int = Field(0, ge=0)
    brand_segments_per_day: int = Field(0, ge=0)
    breaker_failures: int = Field(10, ge=0)
    breaker_pause_s: float = Field(5.0, gt=0)

    @property
    def limits(self) -> Limits:
        """How many segments may leave."""
        return Limits(
            self.sender_segments_per_s,
            self.campaign_segments_per_minute,
            self.account_segments_per_minute,
            self.brand_segments_per_day,
            self.sender_limits,
        )

    @model_validator(mode="before")
    @classmethod
    def _follow_the_ports(cls, values: dict[str, object]) -> dict[str, object]:
        """The embedded carrier's URLs and our own, unless told otherwise."""
        carrier_port, own_port = values.get("carrier_port", 8010), values.get("dispatcher_port", 8001)
        values["carrier_url"] = values.get("carrier_url") or f"http://127.0.0.1:{carrier_port}"
        values["telnyx_url"] = values.get("telnyx_url") or f"http://127.0.0.1:{carrier_port}"
        values["public_url"] = values.get("public_url") or f"http://127.0.0.1:{own_port}"
        return values

    @field_validator("sender_providers")
    @classmethod
    def _names_providers(cls, given: str) -> str:
        if given and not _is_routes(given):
            raise ValueError(f'must be JSON like {{"+12025550123": "telnyx"}}; providers are {", ".join(PROVIDERS)}')
        return given

    @field_validator("telnyx_public_key")
    @classmethod
    def _is_ed25519(cls, given: str) -> str:
        try:
            known = not given or len(base64.b64decode(given, validate=True)) == 32
        except binascii.Error:
            known = False
        if not known:
            raise ValueError("must be an Ed25519 public key: 32 bytes in base64")
        return given

    @model_validator(mode="after")
    def _has_credentials(self) -> Self:
        """A provider in use without its credentials would refuse every text."""
        if TELNYX in self.providers and not (self.telnyx_api_key and self.telnyx_public_key):
            raise ValueError("TELNYX_API_KEY and TELNYX_PUBLIC_KEY must be set to use telnyx")
        if SMPP in self.providers and not (self.smpp_address and self.smpp_system_id):
            raise ValueError("SMPP_ADDRESS and SMPP_SYSTEM_ID must be set to use smpp")
        return self

    @property
    def routing(self) -> Routing:
        """Which provider carries a sender's texts."""
        return Routing(self.provider, json.loads(self.sender_providers or "{}"))

    @property
    def providers(self) -> set[str]:
        """Those in use."""
        return {self.provider, *self.routing.own.values()}


def _is_routes(given: str) -> bool:
    try:
        routes = json.loads(given)
    except json.JSONDecodeError:
        return False
    return isinstance(routes, dict) and all(provider in PROVIDERS for provider in routes.values())
