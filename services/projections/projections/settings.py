"""The projections' settings."""

from kernel.settings import ServiceSettings


class Settings(ServiceSettings):
    """See the README's table."""

    projections_port: int = 8002
