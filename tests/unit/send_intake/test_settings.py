"""The issuer is set up whole, and reached safely, or the service does not start."""

import pytest
from pydantic import ValidationError
from send_intake.settings import Settings

NEEDED = {
    "database_url": "postgresql://a@b/c", "kafka_bootstrap": "a:1", "token_key": "k" * 32, "person_id_secret": "p" * 16,
    "vault_key": "v" * 32,
}  # fmt: skip


def test_without_an_issuer_nothing_more_is_needed() -> None:
    assert Settings(**NEEDED).oidc_issuer == ""
    assert Settings(**NEEDED, intake_port=8100).own_url == "http://127.0.0.1:8100"
    assert Settings(**NEEDED, intake_url="https://handsent.example/").own_url == "https://handsent.example"


@pytest.mark.parametrize(
    "url", ["https://issuer.example/realm", "http://127.0.0.1:9000", "http://[::1]:1", "http://localhost"]
)
def test_an_issuer_is_reached_safely(url: str) -> None:
    assert Settings(**NEEDED, oidc_issuer=url, oidc_client_id="c").oidc_issuer == url


@pytest.mark.parametrize("url", ["http://issuer.example", "http://127.0.0.1.example", "ftp://127.0.0.1", "issuer"])
def test_any_other_issuer_is_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        Settings(**NEEDED, oidc_issuer=url, oidc_client_id="c")


def test_an_issuer_that_does_not_know_us_is_refused_and_no_secret_repeated() -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(**NEEDED, oidc_issuer="https://issuer.example", oidc_client_secret="hunter2")
    assert "OIDC_CLIENT_ID" in str(refused.value) and "hunter2" not in str(refused.value)
