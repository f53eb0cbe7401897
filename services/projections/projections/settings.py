"""The projections' settings."""

from kernel.settings import VaultSettings
from pydantic import Field


class Settings(VaultSettings):
    """See the README's table."""

    projections_port: int = Field(8002, ge=1, le=65535)
    report_spool_bytes: int = Field(2 * 1024**3, ge=1024**2)
