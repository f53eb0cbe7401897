"""The dispatcher's settings, each an environment variable of the same name in capitals."""

from datetime import timedelta
from typing import Any

from kernel.settings import VaultSettings
from pydantic import Field, model_validator

from dispatcher.notice import Kind, Texts

HTTP_URL = r"^https?://[^/]+.*[^/]$"


def _answer(words: str) -> Any:
    return Field(words, max_length=480, pattern=r"^[^\x00-\x1f]*$")


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

    @model_validator(mode="before")
    @classmethod
    def _follow_the_ports(cls, values: dict[str, object]) -> dict[str, object]:
        """The embedded carrier's URL and our own, unless told otherwise."""
        carrier_port, own_port = values.get("carrier_port", 8010), values.get("dispatcher_port", 8001)
        values["carrier_url"] = values.get("carrier_url") or f"http://127.0.0.1:{carrier_port}"
        values["public_url"] = values.get("public_url") or f"http://127.0.0.1:{own_port}"
        return values
