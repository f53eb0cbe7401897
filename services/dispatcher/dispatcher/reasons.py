"""The carrier's codes in our words; what is not listed is `unknown`, and the raw code rides beside it."""

from collections.abc import Mapping

from schemas.reasons import FailureReason as Why

TWILIO: dict[str, Why] = {
    "21610": Why.OPTED_OUT,
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


TELNYX: dict[str, Why] = {
    "40300": Why.OPTED_OUT,
    "40310": Why.INVALID_NUMBER,
    "10002": Why.INVALID_NUMBER,
    "10016": Why.INVALID_NUMBER,
    "40012": Why.INVALID_NUMBER,
    "40001": Why.LANDLINE,
    "40006": Why.CARRIER_OUTAGE,
    "40008": Why.UNREACHABLE,
    "40004": Why.BLOCKED_RECIPIENT,
    "40002": Why.FILTERED,
    "40003": Why.FILTERED,
    "40015": Why.FILTERED,
    "40322": Why.FILTERED,
    "40010": Why.UNREGISTERED_SENDER,
    "40013": Why.UNREGISTERED_SENDER,
    "40305": Why.UNREGISTERED_SENDER,
    "40329": Why.UNREGISTERED_SENDER,
    "40330": Why.UNREGISTERED_SENDER,
    "40011": Why.RATE_LIMITED,
    "40016": Why.RATE_LIMITED,
    "40017": Why.RATE_LIMITED,
    "40018": Why.RATE_LIMITED,
    "40318": Why.RATE_LIMITED,
    "10011": Why.RATE_LIMITED,
    "10009": Why.ACCOUNT,
    "20100": Why.ACCOUNT,
    "40312": Why.ACCOUNT,
    "40314": Why.ACCOUNT,
    "40309": Why.REGION,
    "40009": Why.CONTENT,
    "40302": Why.CONTENT,
    "40316": Why.CONTENT,
    "40005": Why.EXPIRED,
    "40014": Why.EXPIRED,
}
# The command_status of a submit_sm_resp, and the states of receipts.
SMPP: dict[str, Why] = {
    "0x00000001": Why.CONTENT,  # ESME_RINVMSGLEN
    "0x0000000a": Why.UNREGISTERED_SENDER,  # ESME_RINVSRCADR
    "0x0000000b": Why.INVALID_NUMBER,  # ESME_RINVDSTADR
    "0x0000000d": Why.ACCOUNT,  # ESME_RBINDFAIL
    "0x0000000e": Why.ACCOUNT,  # ESME_RINVPASWD
    "0x0000000f": Why.ACCOUNT,  # ESME_RINVSYSID
    "UNDELIV": Why.UNREACHABLE,
    "REJECTD": Why.FILTERED,
    "EXPIRED": Why.EXPIRED,
    "DELETED": Why.UNKNOWN,
}


def reason_of(carrier_code: str | None, codes: Mapping[str, Why] = TWILIO) -> Why:
    """Why, in our words."""
    return codes.get(carrier_code or "", Why.UNKNOWN)
