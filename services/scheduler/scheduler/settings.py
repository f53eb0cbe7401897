"""The scheduler's settings."""

from kernel.settings import ServiceSettings


class Settings(ServiceSettings):
    """See the README's table."""

    scheduler_port: int = 8003
    release_chunk: int = 2000
