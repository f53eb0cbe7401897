from pathlib import Path

import pytest
from simulator.settings import SettingsError, read

KEYS = {"TWILIO_ACCOUNT_SID": "AC1", "TWILIO_AUTH_TOKEN": "secret"}


def test_the_keys_are_enough() -> None:
    settings = read(KEYS)
    assert (settings.port, settings.sent_callbacks) == (8010, True)
    assert settings.inbound_url("twilio") == "http://127.0.0.1:8001/webhooks/twilio/inbound"
    assert "secret" not in repr(settings)


def test_the_webhooks_follow_the_dispatchers_port() -> None:
    assert read({**KEYS, "DISPATCHER_PORT": "9001"}).public_url == "http://127.0.0.1:9001"


def test_a_secret_may_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from-file\n")
    settings = read({"TWILIO_ACCOUNT_SID": "AC1", "TWILIO_AUTH_TOKEN_FILE": str(tmp_path / "token")})
    assert settings.auth_token == "from-file"


def test_every_wrong_setting_is_named_at_once() -> None:
    with pytest.raises(SettingsError) as error:
        read({"CARRIER_PORT": "http", "PUBLIC_URL": "example.test", "SIMULATOR_SENT_CALLBACKS": "no"})
    for name in ("CARRIER_PORT", "PUBLIC_URL", "SIMULATOR_SENT_CALLBACKS", "TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN"):
        assert name in str(error.value)
