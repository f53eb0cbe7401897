from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulator.twilio import SendRequest, encode, flaw_of, message, read_form, segments_of

GOOD = {"To": "+12025551234", "From": "+12025550100", "Body": "Hi", "StatusCallback": "https://example.test/s?a=1"}
text = st.text(st.characters(exclude_categories=["Cs"]))


def flaw(**changes: str | None) -> int | None:
    form = {name: value for name, value in {**GOOD, **changes}.items() if value is not None}
    return flaw_of(read_form(urlencode(form).encode()))


def test_a_good_request_has_no_flaw() -> None:
    assert flaw() is None
    assert flaw(StatusCallback=None) is None


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"To": None}, 21604),
        ({"To": "", "From": None}, 21604),
        ({"From": None}, 21603),
        ({"Body": None}, 21602),
        ({"Body": ""}, 21602),
        ({"To": "12025551234"}, 21211),
        ({"To": "+1202555123x"}, 21211),
        ({"To": "+12025551234\n"}, 21211),
        ({"From": "+1 202"}, 21212),
        ({"Body": "x" * 1601}, 21617),
        ({"StatusCallback": "ftp://example.test"}, 21609),
        ({"StatusCallback": "http://"}, 21609),
    ],
)
def test_flaws_have_twilios_codes(changes: dict[str, str | None], code: int) -> None:
    assert flaw(**changes) == code


@given(st.binary())
def test_any_bytes_are_read_without_an_error(raw: bytes) -> None:
    flaw_of(read_form(raw))


@given(text, text)
def test_a_form_arrives_as_it_was_written(body: str, to: str) -> None:
    assert read_form(urlencode({"Body": body, "To": to}).encode()) == SendRequest(to, None, body, None)


@given(st.dictionaries(st.from_regex(r"[A-Z][a-z]+", fullmatch=True), text))
def test_a_webhooks_form_is_what_urlencode_makes(form: dict[str, str]) -> None:
    assert parse_qsl(encode(form).decode(), keep_blank_values=True) == list(form.items())
    assert encode(form).decode() == urlencode(form)


@pytest.mark.parametrize(
    ("body", "segments"),
    [
        ("x" * 160, 1),
        ("x" * 161, 2),
        ("x" * 307, 3),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("’" * 70, 1),
        ("’" * 71, 2),
        ("😀" * 35, 1),
        ("😀" * 36, 2),
    ],
)
def test_segments(body: str, segments: int) -> None:
    assert segments_of(body) == segments


def test_an_accepted_message_has_twilios_shape() -> None:
    line = {"message_id": "SM" + "0" * 32, "to": GOOD["To"], "from": GOOD["From"], "body": "Hi"}
    shape = message("AC1", line, datetime(2026, 1, 1, 12, 0, 0, 5, tzinfo=UTC))
    assert shape["sid"] == "SM" + "0" * 32
    assert shape["status"] == "queued"
    assert shape["num_segments"] == "1"
    assert shape["error_code"] is None
    assert shape["date_created"] == "Thu, 01 Jan 2026 12:00:00 +0000"
    assert shape["uri"] == f"/2010-04-01/Accounts/AC1/Messages/SM{'0' * 32}.json"
