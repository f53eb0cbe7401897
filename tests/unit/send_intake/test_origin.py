"""Where a request comes from, and who asks."""

from types import SimpleNamespace

import pytest
from send_intake.api_sessions import address_of
from send_intake.origin import client_address, is_ours
from starlette.requests import Request

HOST = "handsent.example"


@pytest.mark.parametrize(
    ("fetch_site", "origin", "ours"),
    [
        ("same-origin", None, True),
        ("same-origin", "null", True),
        ("same-site", f"https://{HOST}", False),
        ("cross-site", f"https://{HOST}", False),
        ("none", None, False),
        (None, f"https://{HOST}", True),
        (None, f"HTTPS://{HOST.upper()}", True),
        (None, f"https://{HOST}:8443", False),
        (None, f"https://{HOST}.elsewhere.example", False),
        (None, f"https://elsewhere.example/{HOST}", False),
        (None, "null", False),
        (None, "", False),
        (None, None, None),
    ],
)
def test_only_our_own_pages_are_ours(fetch_site: str | None, origin: str | None, ours: bool | None) -> None:
    assert is_ours(fetch_site, origin, HOST) is ours


def test_a_request_without_a_host_is_from_nowhere() -> None:
    assert is_ours(None, "null", "") is False


@pytest.mark.parametrize(
    ("forwarded_for", "proxies", "address"),
    [
        ("", 0, "peer"),
        ("1.1.1.1", 0, "peer"),
        ("1.1.1.1", 1, "1.1.1.1"),
        ("forged, 1.1.1.1", 1, "1.1.1.1"),
        ("forged, 1.1.1.1, 2.2.2.2", 2, "1.1.1.1"),
        ("", 1, "peer"),
        ("1.1.1.1", 2, "peer"),
        (" , ,", 1, "peer"),
    ],
)
def test_only_what_our_own_proxies_saw_is_believed(forwarded_for: str, proxies: int, address: str) -> None:
    assert client_address("peer", forwarded_for, proxies) == address


@pytest.mark.parametrize(
    ("lines", "address"),
    [
        (["forged, 1.1.1.1"], "1.1.1.1"),
        (["forged", "1.1.1.1"], "1.1.1.1"),  # a proxy that adds a line, as HAProxy's `option forwardfor` does
        (["forged, forged too", "", "1.1.1.1"], "1.1.1.1"),
        ([], "peer"),
    ],
)
def test_a_line_that_a_proxy_adds_counts_as_what_it_appends(lines: list[str], address: str) -> None:
    app = SimpleNamespace(state=SimpleNamespace(settings=SimpleNamespace(trusted_proxies=1)))
    headers = [(b"x-forwarded-for", line.encode()) for line in lines]
    assert address_of(Request({"type": "http", "app": app, "client": ("peer", 1), "headers": headers})) == address
