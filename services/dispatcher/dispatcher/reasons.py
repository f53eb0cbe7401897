"""The carrier's codes in our words; what is not listed is `unknown`, and the raw code rides beside it."""

from schemas.reasons import FailureReason as Why

OPTED_OUT_AT_THE_CARRIER = "21610"

TWILIO: dict[str, Why] = {
    OPTED_OUT_AT_THE_CARRIER: Why.OPTED_OUT,
    "21211": Why.INVALID_NUMBER,
    "21614": Why.INVALID_NUMBER,
    "21635": Why.LANDLINE,
    "30006": Why.LANDLINE,
    "30003": Why.UNREACHABLE,
    "30005": Why.UNKNOWN_NUMBER,
    "30004": Why.BLOCKED_RECIPIENT,
    "30007": Why.FILTERED,
    "21606": Why.UNREGISTERED_SENDER,
    "30034": Why.UNREGISTERED_SENDER,
    "20429": Why.RATE_LIMITED,
    "30001": Why.RATE_LIMITED,
    "20003": Why.ACCOUNT,
    "30002": Why.ACCOUNT,
    "21408": Why.REGION,
    "21602": Why.CONTENT,
    "21617": Why.CONTENT,
    "30036": Why.EXPIRED,
    "30008": Why.UNKNOWN,
}


def reason_of(carrier_code: str | None) -> Why:
    """Why, in our words."""
    return TWILIO.get(carrier_code or "", Why.UNKNOWN)
