"""The environment, read once at start into one frozen, validated object."""

import os
import sys
from pathlib import Path
from typing import Any, TypeVar

from phonenumbers import SUPPORTED_REGIONS
from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict


class _SecretFiles(PydanticBaseSettingsSource):
    """`X_FILE=/path` stands for `X=<the file's content>`, so that secrets can be mounted instead of set."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        path = os.environ.get(f"{field_name.upper()}_FILE")
        return (Path(path).read_text().strip() if path else None), field_name, False

    def __call__(self) -> dict[str, Any]:
        values = {name: self.get_field_value(None, name)[0] for name in self.settings_cls.model_fields}
        return {name: value for name, value in values.items() if value is not None}


class ServiceSettings(BaseSettings):
    """What every service needs. The setting of a field is its name in capitals; the README lists them all."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    database_url: str = Field(pattern=r"^postgres(ql)?://")
    kafka_bootstrap: str = Field(min_length=3)
    bind_host: str = "127.0.0.1"
    token_key: str = Field(min_length=32, repr=False)
    person_id_secret: str = Field(min_length=16, repr=False)
    default_region: str = Field("US", pattern=r"^[A-Z]{2}$")
    log_level: str = Field("info", pattern=r"^(debug|info|warning|error)$")
    steps_dir: str = ""

    @field_validator("default_region")
    @classmethod
    def _known_region(cls, region: str) -> str:
        if region not in SUPPORTED_REGIONS:
            raise ValueError("no country has this code")
        return region

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, _SecretFiles(settings_cls)


class VaultSettings(ServiceSettings):
    """What a service needs that seals or opens what is a person's."""

    vault_database_url: str = Field("", pattern=r"^$|^postgres(ql)?://", repr=False)
    vault_key: str = Field(min_length=32, repr=False)
    vault_keys_old: str = Field("", repr=False)

    @property
    def vault_url(self) -> str:
        return self.vault_database_url or self.database_url

    @property
    def vault_keys(self) -> list[str]:
        """The one that wraps new keys first, then those that still open old ones."""
        return [self.vault_key, *(key.strip() for key in self.vault_keys_old.split(",") if key.strip())]

    @field_validator("vault_keys_old")
    @classmethod
    def _long_enough(cls, keys: str) -> str:
        if any(len(key.strip()) < 32 for key in keys.split(",") if key.strip()):
            raise ValueError("each former vault key has at least 32 characters")
        return keys


Settings = TypeVar("Settings", bound=BaseSettings)


def load(settings: type[Settings]) -> Settings:
    """The settings from the environment; one line for each wrong one and exit code 2, before anything is started."""
    try:
        return settings()
    except OSError as error:
        sys.stderr.write(f"setting: {error.filename}: {error.strerror}\n")
    except ValidationError as error:
        for problem in error.errors(include_input=False, include_url=False):
            sys.stderr.write(f"setting {str(problem['loc'][0]).upper()}: {problem['msg']}\n")
    raise SystemExit(2)
