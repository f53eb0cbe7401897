from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st
from simulator.signature import sign
from twilio.request_validator import RequestValidator


def test_the_example_of_twilios_documentation() -> None:
    form = {
        "CallSid": "CA1234567890ABCDE",
        "Caller": "+14158675309",
        "Digits": "1234",
        "From": "+14158675309",
        "To": "+18005551212",
    }
    url = "https://mycompany.com/myapp.php?foo=1&bar=2"
    assert sign(url, form, "12345") == "RSOYDt4T1cUTdK1PDd93/VVr8B8="


@given(
    st.dictionaries(st.text("ABCabc", min_size=1), st.text(st.characters(exclude_categories=["Cs"]))), st.text("abc")
)
def test_the_vendors_package_agrees(form: Mapping[str, str], token: str) -> None:
    url = "http://127.0.0.1:8001/webhooks/twilio/status?recipient=1&attempt=2"
    assert RequestValidator(token).validate(url, form, sign(url, form, token))
