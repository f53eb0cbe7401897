"""The scheduler's settings."""

from kernel.settings import ServiceSettings
from pydantic import Field


class Settings(ServiceSettings):
    """See the README's table."""

    scheduler_port: int = Field(8003, ge=1, le=65535)
    release_chunk: int = Field(4000, ge=1, le=50_000)
