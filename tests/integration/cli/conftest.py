"""The `handsent` command against a Postgres and a Kafka that the settings name."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from handsent.__main__ import main
from kernel.testing import VAULT_KEY

SETTINGS = {
    "TOKEN_KEY": "a token key for tests that is long enough",
    "PERSON_ID_SECRET": "a person id secret for tests",
    "VAULT_KEY": VAULT_KEY,
}

Handsent = Callable[..., Result]


@pytest.fixture
def settings(database_url: str, kafka: str, tmp_path: Path) -> dict[str, str]:
    named = {"DATABASE_URL": database_url, "KAFKA_BOOTSTRAP": kafka, "HANDSENT_HOME": str(tmp_path / "home")}
    return {**SETTINGS, **named}


@pytest.fixture
def handsent(settings: dict[str, str]) -> Handsent:
    """Runs a command; what it says is in stdout and stderr of the answer, which is checked to have `exit_code`."""

    def run(*arguments: str, exit_code: int = 0, **others: str) -> Result:
        answer = CliRunner().invoke(main, list(arguments), env={**settings, **others})
        assert answer.exit_code == exit_code, answer.output + repr(answer.exception)
        return answer

    return run
