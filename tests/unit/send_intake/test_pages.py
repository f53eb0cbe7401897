"""The pages need no script, and say what was typed only as text."""

import pytest
from kernel.tokens import Role, User
from send_intake import pages

EVIL = "<script>alert('x')</script>\"' onload=x"


@pytest.mark.parametrize("role", list(Role))
def test_the_home_page_says_who_is_signed_in_as_text(role: Role) -> None:
    page = pages.home(User("a", "u", role, EVIL))
    assert "<script" not in page and "&lt;script&gt;" in page and str(role) in page and 'action="/sign-out"' in page


def test_what_was_typed_comes_back_as_text() -> None:
    page = pages.sign_in(alert=EVIL, told=EVIL, account=EVIL, name=EVIL)
    assert "<script" not in page and "' onload" not in page.replace("&#x27; onload", "")
    assert 'role="alert"' in page and 'role="status"' in page


def test_every_box_has_its_label_and_the_issuer_s_link_is_there_only_with_an_issuer() -> None:
    page = pages.sign_in(oidc=True)
    for name in ("account", "name", "password", "token"):
        assert f'<label for="{name}">' in page and f'<input id="{name}" name="{name}"' in page
    assert 'href="/oidc/start"' in page and 'href="/oidc/start"' not in pages.sign_in()


def test_a_password_is_never_filled_in() -> None:
    assert 'type="password" required maxlength="1024"' in pages.sign_in(account="a", name="b")
