"""send-intake's settings."""

from kernel.settings import VaultSettings
from pydantic import Field


class Settings(VaultSettings):
    """See the README's table."""

    intake_port: int = Field(8000, ge=1, le=65535)
    dispatcher_url: str = Field("http://127.0.0.1:8001", pattern=r"^https?://")
    projections_url: str = Field("http://127.0.0.1:8002", pattern=r"^https?://")
    clock_interval_ms: int = Field(250, ge=10, le=10_000)
    claim_s: int = Field(900, ge=1)
    max_upload_bytes: int = Field(512 * 1024 * 1024, ge=1024)
