"""send-intake's settings."""

from ipaddress import ip_address
from urllib.parse import urlsplit

from kernel.settings import VaultSettings
from pydantic import Field, field_validator, model_validator

URL = r"^$|^https?://[^/\s]+"


class Settings(VaultSettings):
    """See the README's table."""

    intake_port: int = Field(8000, ge=1, le=65535)
    intake_url: str = Field("", pattern=URL)
    dispatcher_url: str = Field("http://127.0.0.1:8001", pattern=r"^https?://")
    projections_url: str = Field("http://127.0.0.1:8002", pattern=r"^https?://")
    clock_interval_ms: int = Field(250, ge=10, le=10_000)
    claim_s: int = Field(900, ge=1)
    max_upload_bytes: int = Field(512 * 1024 * 1024, ge=1024)
    trusted_proxies: int = Field(0, ge=0, le=10)
    oidc_issuer: str = Field("", pattern=URL)
    oidc_client_id: str = ""
    oidc_client_secret: str = Field("", repr=False)
    oidc_audience: str = ""

    @field_validator("oidc_issuer")
    @classmethod
    def _reached_safely(cls, url: str) -> str:
        if url and urlsplit(url).scheme != "https" and not _is_loopback(urlsplit(url).hostname or ""):
            raise ValueError("an issuer that is not on this machine is reached by https")
        return url

    @model_validator(mode="after")
    def _known_to_the_issuer(self) -> "Settings":
        if self.oidc_issuer and not self.oidc_client_id:
            raise ValueError("OIDC_ISSUER needs OIDC_CLIENT_ID")
        return self

    @property
    def own_url(self) -> str:
        """Where people reach us, without a slash at the end."""
        return self.intake_url.rstrip("/") or f"http://127.0.0.1:{self.intake_port}"


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
