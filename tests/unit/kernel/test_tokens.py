"""Bearer tokens: ours, or nobody's."""

import base64
import json
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel.tokens import BadToken, Role, User, admit, issue, verify

KEY = "a key that is long enough for its algorithm"
ADA = User("0f4d5a52-6f2c-5a5e-9a3e-0c6c2f1f6d10", "1f4d5a52-6f2c-5a5e-9a3e-0c6c2f1f6d11", Role.SENDER, "Ada")
TOKEN = issue(KEY, ADA, "t1")


def claims() -> dict[str, str]:
    found: dict[str, str] = jwt.decode(TOKEN, options={"verify_signature": False})
    return found


def part(content: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


@pytest.mark.parametrize("role", list(Role))
def test_a_token_says_who_is_calling(role: Role) -> None:
    user = ADA._replace(role=role, name="Ada Lovelace · Ünïcode")
    assert verify(KEY, issue(KEY, user, "t")) == user


def test_a_new_token_does_not_end_an_older_one() -> None:
    newer = issue(KEY, ADA, "t2")
    assert newer != TOKEN
    assert verify(KEY, TOKEN) == ADA
    assert verify(KEY, newer) == ADA


@pytest.mark.parametrize(
    "forged",
    [
        "",
        "nonsense",
        TOKEN + "x",
        issue("another key that is long enough for it", ADA, "t1"),
        f"{part({'alg': 'none'})}.{TOKEN.split('.')[1]}.",
        f"{part({'alg': 'none', 'typ': 'JWT'})}.{part({**claims(), 'role': 'manager'})}.",
        f"{TOKEN.split('.')[0]}.{part({**claims(), 'role': 'manager'})}.{TOKEN.split('.')[2]}",
        jwt.encode(claims(), KEY * 2, algorithm="HS512"),
        jwt.encode({**claims(), "iss": "somebody else"}, KEY, algorithm="HS256"),
        jwt.encode({**claims(), "role": "owner"}, KEY, algorithm="HS256"),
        jwt.encode({k: v for k, v in claims().items() if k != "jti"}, KEY, algorithm="HS256"),
        jwt.encode({k: v for k, v in claims().items() if k != "account"}, KEY, algorithm="HS256"),
        jwt.encode({**claims(), "exp": 1}, KEY, algorithm="HS256"),
        jwt.encode({**claims(), "exp": "soon"}, KEY, algorithm="HS256"),
        jwt.encode({k: v for k, v in claims().items() if k != "exp"}, KEY, algorithm="HS256"),
    ],
)
def test_any_other_token_is_refused_and_not_repeated(forged: str) -> None:
    with pytest.raises(BadToken) as refused:
        verify(KEY, forged)
    assert not forged or forged not in str(refused.value)


def test_a_token_is_good_until_its_end_also_when_it_was_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    end = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    token = issue(KEY, ADA, "t3", end)
    assert admit(KEY, token) == (ADA, "t3", end.timestamp())
    monkeypatch.setattr("time.time", lambda: end.timestamp() - 0.001)
    assert verify(KEY, token) == ADA
    monkeypatch.setattr("time.time", end.timestamp)
    with pytest.raises(BadToken):
        verify(KEY, token)


def test_a_token_lives_ninety_days_unless_somebody_says_otherwise() -> None:
    left = timedelta(seconds=admit(KEY, issue(KEY, ADA, "t4")).expires_at - datetime.now(UTC).timestamp())
    assert timedelta(days=89, hours=23) < left <= timedelta(days=90)


def test_a_token_that_was_ended_is_refused_also_when_it_was_remembered() -> None:
    assert verify(KEY, TOKEN, {"another"}) == ADA
    with pytest.raises(BadToken):
        verify(KEY, TOKEN, {"another", "t1"})


@given(st.text(max_size=200))
def test_no_text_breaks_the_check(text: str) -> None:
    with pytest.raises(BadToken):
        verify(KEY, text)
