"""Pages show what was typed only as text; what stands on them is right to the letter."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from send_intake import views
from send_intake.web import ASSETS, HEADERS, ROOT, TEMPLATES, address_of, local

EVIL = "<script>alert('x')</script>\"' onload=x"
DOOR = {
    "user": None,
    "path": "/sign-in",
    "alert": "",
    "told": "",
    "account": "",
    "name": "",
    "next": "/",
    "oidc": False,
}
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def door(**about: Any) -> str:
    return TEMPLATES.get_template("sign_in.html").render(**DOOR | about)


def test_what_was_typed_comes_back_as_text() -> None:
    page = door(alert=EVIL, told=EVIL, account=EVIL, name=EVIL, next=EVIL)
    assert "<script" not in page and "&lt;script&gt;" in page and "' onload" not in page
    assert 'role="alert"' in page and 'role="status"' in page


def test_every_box_has_its_label_and_the_issuer_s_link_is_there_only_with_an_issuer() -> None:
    page = door(oidc=True)
    for name in ("account", "name", "password", "token"):
        assert f'<label for="{name}">' in page and f'<input id="{name}" name="{name}"' in page
    assert 'href="/oidc/start"' in page and 'href="/oidc/start"' not in door()


def test_a_password_is_never_filled_in() -> None:
    assert 'type="password" required maxlength="1024"' in door(account="a", name="b")


@pytest.mark.parametrize("template", sorted(path.name for path in (ROOT / "templates").iterdir()))
def test_no_page_has_a_script_or_a_style_of_its_own_or_of_another_s(template: str) -> None:
    """The policy of the pages would not let them run."""
    text = (ROOT / "templates" / template).read_text()
    assert not re.search(r"<script(?! src=\"\{\{ asset)|<style|\sstyle=|\son\w+=|https?://|\|safe", text)
    assert "script-src 'self'" in HEADERS["Content-Security-Policy"]


def test_a_file_s_address_changes_with_its_bytes() -> None:
    assert {"handsent.css", "handsent.js", "sign.svg"} == set(ASSETS)
    tags = {asset.tag for asset in ASSETS.values()}
    assert len(tags) == 3 and address_of("handsent.js").split("/")[2] in tags


@pytest.mark.parametrize("path", ["/campaigns", "/campaigns/1/send?x=1"])
def test_who_signs_in_goes_on_where_they_were_going(path: str) -> None:
    assert local(path) == path


@pytest.mark.parametrize("path", ["", "//evil", "/\\evil", "https://evil", "evil", "/sign-out", "/api/v1/x", "/a\nb"])
def test_and_never_to_another_s_page(path: str) -> None:
    assert local(path) == "/"


@given(st.integers(0, 10**7), st.integers(0, 10**7))
def test_a_share_is_all_only_when_it_is_all(part: int, whole: int) -> None:
    part = min(part, whole)
    assert (views.share(part, whole) == "100") == (0 < part == whole)
    assert (views.share(part, whole) == "0") == (part == 0)


def points(*processed: int) -> list[dict[str, Any]]:
    return [
        {"at": NOON + timedelta(minutes=n), "processed": count, "delivered": count // 2}
        for n, count in enumerate(processed)
    ]


def test_a_chart_goes_from_the_first_point_to_the_last_in_steps() -> None:
    drawn = views.chart(points(10, 40))
    assert drawn is not None and drawn.most == 40
    assert drawn.processed == "0.0,90.0 600.0,90.0 600.0,0.0"


@pytest.mark.parametrize("some", [[], points(5), points(0, 0)])
def test_nothing_is_drawn_of_nothing(some: list[dict[str, Any]]) -> None:
    assert views.chart(some) is None


def test_a_forecast_is_the_pace_of_the_last_minutes() -> None:
    now = NOON + timedelta(minutes=20)
    found = views.forecast(points(*range(0, 210, 10)), unprocessed=100, now=now)
    assert found is not None
    pace, done = found
    assert pace == pytest.approx(10) and done == now + timedelta(minutes=10)


@pytest.mark.parametrize(("some", "unprocessed"), [([], 5), (points(5, 9), 0)])
def test_nobody_who_presses_nothing_gets_a_forecast(some: list[dict[str, Any]], unprocessed: int) -> None:
    assert views.forecast(some, unprocessed, NOON + timedelta(minutes=1)) is None
    assert views.forecast(points(5, 9), 10, NOON + timedelta(hours=5)) is None


def test_the_sums_of_progress_stand_above_their_parts() -> None:
    keys = [leaf.key for leaf in views.PROGRESS]
    assert keys[0] == "recipients" and set(views.STATES) <= set(keys) and len(keys) == 13


def test_the_script_is_ours_alone() -> None:
    text = Path(ROOT / "static" / "handsent.js").read_text()
    assert not re.search(r"https?://|import\(|eval\(|innerHTML|insertAdjacentHTML|document\.write", text)
