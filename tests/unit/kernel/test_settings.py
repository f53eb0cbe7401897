"""Settings: read once, and one line for each that is wrong."""

from pathlib import Path

import pytest
from kernel.settings import ServiceSettings, load
from pydantic import ValidationError

SECRET = "a token key that is long enough to be one"
GOOD = {
    "DATABASE_URL": "postgresql://localhost/handsent",
    "KAFKA_BOOTSTRAP": "localhost:9092",
    "TOKEN_KEY": SECRET,
    "PERSON_ID_SECRET": "a secret of persons",
}


@pytest.fixture
def set_(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_what_is_not_set_has_its_default(set_: pytest.MonkeyPatch) -> None:
    settings = load(ServiceSettings)
    assert (settings.default_region, settings.log_level, settings.bind_host) == ("US", "info", "127.0.0.1")


def test_settings_do_not_change_after_the_start(set_: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValidationError):
        load(ServiceSettings).default_region = "DE"


def test_no_secret_is_shown(set_: pytest.MonkeyPatch) -> None:
    assert SECRET not in repr(load(ServiceSettings))


def test_a_secret_can_be_a_file(set_: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{SECRET} from a file\n")
    set_.delenv("TOKEN_KEY")
    set_.setenv("TOKEN_KEY_FILE", str(tmp_path / "key"))
    assert load(ServiceSettings).token_key == f"{SECRET} from a file"


def test_what_is_set_wins_over_its_file(set_: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("x" * 40)
    set_.setenv("TOKEN_KEY_FILE", str(tmp_path / "key"))
    assert load(ServiceSettings).token_key == SECRET


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines of a start that was refused with exit code 2."""
    with pytest.raises(SystemExit) as ended:
        load(ServiceSettings)
    assert ended.value.code == 2
    return capsys.readouterr().err.splitlines()


def test_every_wrong_setting_has_one_line_that_names_it_and_keeps_its_value(
    set_: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    set_.setenv("DATABASE_URL", "mysql://user:hunter2@localhost")
    set_.setenv("TOKEN_KEY", "hunter2")
    set_.setenv("LOG_LEVEL", "loud")
    set_.delenv("KAFKA_BOOTSTRAP")
    lines = said(capsys)
    names = ["DATABASE_URL", "KAFKA_BOOTSTRAP", "TOKEN_KEY", "LOG_LEVEL"]
    assert [line.split(":")[0] for line in lines] == [f"setting {name}" for name in names]
    assert "hunter2" not in "".join(lines)


def test_a_secrets_file_that_is_not_there_is_named(
    set_: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    set_.setenv("TOKEN_KEY_FILE", str(tmp_path / "no such file"))
    [line] = said(capsys)
    assert "no such file" in line and "No such file or directory" in line
