"""The projections' settings."""

from kernel.settings import VaultSettings
from pydantic import Field


class Settings(VaultSettings):
    """See the README's table."""

    projections_port: int = Field(8002, ge=1, le=65535)
