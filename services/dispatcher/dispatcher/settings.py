"""The dispatcher's settings, each an environment variable of the same name in capitals."""

from typing import Annotated

from kernel.settings import VaultSettings
from pydantic import Field, model_validator

from dispatcher.budget import Limits

HTTP_URL = r"^https?://[^/]+.*[^/]$"


class Settings(VaultSettings):
    """What only the dispatcher needs: the carrier, how to be reached by it, how hard to press it."""

    dispatcher_port: int = Field(8001, gt=0, lt=65536)
    carrier_port: int = Field(8010, gt=0, lt=65536)
    carrier_url: str = Field("", pattern=rf"^$|{HTTP_URL}")
    public_url: str = Field("", pattern=rf"^$|{HTTP_URL}")
    twilio_account_sid: str = Field(min_length=1)
    twilio_auth_token: str = Field(min_length=1, repr=False)
    callback_key: str = Field(min_length=16, repr=False)
    carrier_connections: int = Field(128, ge=1, le=1000)
    carrier_connect_timeout_s: float = Field(3.0, gt=0)
    carrier_timeout_s: float = Field(15.0, gt=0, le=60)
    unconfirmed_after_s: int = Field(259_200, ge=1)

    unknown_hold_s: int = Field(86_400, ge=0)
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
        """The embedded carrier's URL and our own, unless told otherwise."""
        carrier_port, own_port = values.get("carrier_port", 8010), values.get("dispatcher_port", 8001)
        values["carrier_url"] = values.get("carrier_url") or f"http://127.0.0.1:{carrier_port}"
        values["public_url"] = values.get("public_url") or f"http://127.0.0.1:{own_port}"
        return values
