"""The environment, read once at start into a frozen, validated object."""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .twilio import URL


class SettingsError(Exception):
    """One line per wrong setting."""


@dataclass(frozen=True, slots=True)
class Settings:
    port: int
    data: Path
    account_sid: str
    auth_token: str = field(repr=False)
    public_url: str
    sent_callbacks: bool
    telnyx_api_key: str = field(default="", repr=False)
    telnyx_signing_key: bytes = field(default=b"", repr=False)
    provider: str = "twilio"
    sender_providers: Mapping[str, str] = field(default_factory=dict)

    def inbound_url(self, provider: str) -> str:
        return f"{self.public_url}/webhooks/{provider}/inbound"

    def provider_of(self, sender: str) -> str:
        """Which provider's webhooks tell what was sent to this number."""
        return self.sender_providers.get(sender, self.provider)


def read(environ: Mapping[str, str]) -> Settings:
    wrong: list[str] = []
    settings = Settings(
        port=_port(environ, "CARRIER_PORT", 8010, wrong),
        data=Path(environ.get("SIMULATOR_DATA") or ".handsent/simulator"),
        account_sid=_secret(environ, "TWILIO_ACCOUNT_SID", wrong),
        auth_token=_secret(environ, "TWILIO_AUTH_TOKEN", wrong),
        public_url=_public_url(environ, wrong),
        sent_callbacks=_switch(environ, "SIMULATOR_SENT_CALLBACKS", wrong),
        telnyx_api_key=environ.get("TELNYX_API_KEY", ""),
        telnyx_signing_key=_seed(environ, "TELNYX_SIGNING_KEY", wrong),
        provider=environ.get("PROVIDER") or "twilio",
        sender_providers=_routes(environ, "SENDER_PROVIDERS", wrong),
    )
    if wrong:
        raise SettingsError("\n".join(wrong))
    return settings


def _port(environ: Mapping[str, str], name: str, default: int, wrong: list[str]) -> int:
    value = environ.get(name) or str(default)
    if value.isascii() and value.isdigit() and 0 < int(value) < 65536:
        return int(value)
    wrong.append(f"{name} must be a port, 1 to 65535")
    return default


def _secret(environ: Mapping[str, str], name: str, wrong: list[str]) -> str:
    value, file = environ.get(name, ""), environ.get(f"{name}_FILE")
    if not value and file:
        try:
            value = Path(file).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            wrong.append(f"{name}_FILE cannot be read: {type(error).__name__}")
            return ""
    if not value:
        wrong.append(f"{name} (or {name}_FILE) is not set")
    return value


def _public_url(environ: Mapping[str, str], wrong: list[str]) -> str:
    dispatcher = _port(environ, "DISPATCHER_PORT", 8001, wrong)
    value = (environ.get("PUBLIC_URL") or f"http://127.0.0.1:{dispatcher}").rstrip("/")
    if not URL.fullmatch(value):
        wrong.append("PUBLIC_URL must be an http:// or https:// address")
    return value


def _switch(environ: Mapping[str, str], name: str, wrong: list[str]) -> bool:
    value = environ.get(name) or "1"
    if value not in ("0", "1"):
        wrong.append(f"{name} must be 0 or 1")
    return value == "1"


def _seed(environ: Mapping[str, str], name: str, wrong: list[str]) -> bytes:
    try:
        seed = base64.b64decode(environ.get(name, ""), validate=True)
    except binascii.Error:
        seed = b"?"
    if len(seed) not in (0, 32):
        wrong.append(f"{name} must be an Ed25519 seed: 32 bytes in base64")
    return seed


def _routes(environ: Mapping[str, str], name: str, wrong: list[str]) -> Mapping[str, str]:
    try:
        routes = json.loads(environ.get(name) or "{}")
    except json.JSONDecodeError:
        routes = None
    if not isinstance(routes, dict):
        wrong.append(f"{name} must be a JSON object of numbers and providers")
        return {}
    return routes
