"""The settings of the local stack, and the environment its services get from them."""

import os
from collections.abc import Mapping
from pathlib import Path

from kernel.settings import ServiceSettings
from pydantic import Field
from pydantic_settings import SettingsConfigDict

from handsent.ports import LOCALHOST

SERVICE_PORTS = ("INTAKE_PORT", "SCHEDULER_PORT", "DISPATCHER_PORT", "PROJECTIONS_PORT", "CARRIER_PORT")
# The addresses that follow a port unless they are set.
FOLLOWS = {
    "CARRIER_URL": "CARRIER_PORT",
    "TELNYX_URL": "CARRIER_PORT",
    "PUBLIC_URL": "DISPATCHER_PORT",
    "INTAKE_URL": "INTAKE_PORT",
    "SCHEDULER_URL": "SCHEDULER_PORT",
    "DISPATCHER_URL": "DISPATCHER_PORT",
    "PROJECTIONS_URL": "PROJECTIONS_PORT",
}
# What signs checkpoints is the operator's: a service that had it could vouch for itself.
NOT_FOR_SERVICES = {"AUDIT_KEY", "AUDIT_KEY_FILE"}
URL = r"^https?://[^/\s]+"


class StackSettings(ServiceSettings):
    """What `handsent up` and the client commands read. Empty means: embedded, made once, or following the ports."""

    model_config = SettingsConfigDict(env_ignore_empty=True, validate_default=False)

    handsent_home: Path = Path(".handsent")
    database_url: str = Field("", pattern=r"^postgres(ql)?://")
    kafka_bootstrap: str = Field("", pattern=r"^[^\s,]+:\d+(,[^\s,]+:\d+)*$")
    intake_port: int = Field(8000, ge=1, le=65535)
    scheduler_port: int = Field(8003, ge=1, le=65535)
    dispatcher_port: int = Field(8001, ge=1, le=65535)
    projections_port: int = Field(8002, ge=1, le=65535)
    carrier_port: int = Field(8010, ge=1, le=65535)
    carrier_url: str = Field("", pattern=URL)
    telnyx_url: str = Field("", pattern=URL)
    public_url: str = Field("", pattern=URL)
    intake_url: str = Field("", pattern=URL)
    scheduler_url: str = Field("", pattern=URL)
    dispatcher_url: str = Field("", pattern=URL)
    projections_url: str = Field("", pattern=URL)
    token_key: str = Field("", min_length=32, repr=False)
    person_id_secret: str = Field("", min_length=16, repr=False)
    vault_database_url: str = Field("", pattern=r"^postgres(ql)?://", repr=False)
    vault_key: str = Field("", min_length=32, repr=False)
    vault_keys_old: str = Field("", repr=False)
    audit_key: str = Field("", pattern=r"^[0-9a-f]{64}$", repr=False)
    callback_key: str = Field("", min_length=16, repr=False)
    twilio_account_sid: str = Field("", min_length=1)
    twilio_auth_token: str = Field("", min_length=1, repr=False)

    def port(self, name: str) -> int:
        """The port that the setting `name`, in capitals, gives."""
        return int(getattr(self, name.lower()))


def shared_ports(settings: StackSettings) -> list[str]:
    """A line for each port that two settings give."""
    names: dict[int, list[str]] = {}
    for name in SERVICE_PORTS:
        names.setdefault(settings.port(name), []).append(name)
    return [f"{' and '.join(both)} are both {port}" for port, both in names.items() if len(both) > 1]


def explicit(settings: StackSettings) -> dict[str, str]:
    """The settings somebody set, by their names in the environment."""
    return {name.upper(): str(getattr(settings, name)) for name in settings.model_fields_set}


def service_environment(settings: StackSettings, home: Path, secrets: Mapping[str, str]) -> dict[str, str]:
    """Every setting a service may read: addresses that follow the ports, the home's secrets, and over all what was set.

    DATABASE_URL and KAFKA_BOOTSTRAP are there only if they were set; the embedded servers add theirs.
    """
    own = {url: f"http://{LOCALHOST}:{settings.port(port)}" for url, port in FOLLOWS.items()}
    made = {name: value for name, value in secrets.items() if name != "POSTGRES_PASSWORD"}
    ports = {name: str(settings.port(name)) for name in SERVICE_PORTS}
    places = {"HANDSENT_HOME": str(home), "SIMULATOR_DATA": str(home / "simulator")}
    given = {
        name: value.rstrip("/") if name in FOLLOWS else value
        for name, value in explicit(settings).items()
        if name not in places.keys() | NOT_FOR_SERVICES
    }
    return {**own, **made, **ports, "DEFAULT_REGION": settings.default_region, **given, **places}


def inherited() -> dict[str, str]:
    """The caller's environment, for settings that only one service knows; an empty one counts as not set."""
    return {name: value for name, value in os.environ.items() if value and name not in NOT_FOR_SERVICES}
