"""The session's cookie: for no script, for no other site, and over https alone where there is https."""

import pytest
from send_intake.api_cookie import drop_session, put_session, session_of
from starlette.requests import Request
from starlette.responses import Response


def said(response: Response) -> set[str]:
    return {part.strip() for part in response.headers["set-cookie"].split(";")}


@pytest.mark.parametrize("secure", [True, False])
def test_it_is_for_no_script_and_no_other_site(secure: bool) -> None:
    response = Response()
    put_session(response, "t", 60, secure)
    assert said(response) >= {"handsent_session=t", "HttpOnly", "SameSite=strict", "Path=/", "Max-Age=60"}
    assert ("Secure" in said(response)) is secure


def test_signing_out_takes_it_away() -> None:
    response = Response()
    drop_session(response, True)
    assert said(response) >= {'handsent_session=""', "Max-Age=0", "Path=/", "Secure"}


@pytest.mark.parametrize(
    ("cookies", "token"),
    [
        ([], ""),
        (["handsent_session=a.b.c"], "a.b.c"),
        (["other=1; handsent_session=a.b.c"], "a.b.c"),
        (["other=1", "handsent_session=a.b.c"], "a.b.c"),
        (["not_handsent_session=a.b.c"], ""),
        (['handsent_session="a\\012b"'], ""),
        (["handsent_session=\u00e9"], ""),
        (["=;;==\x01"], ""),
    ],
)
def test_only_a_cookie_of_its_name_is_read(cookies: list[str], token: str) -> None:
    headers = [(b"cookie", cookie.encode("latin-1")) for cookie in cookies]
    assert session_of(Request({"type": "http", "headers": headers})) == token
