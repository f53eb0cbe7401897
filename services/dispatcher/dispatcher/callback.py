"""The URL that a receipt comes back to: it names recipient and attempt under our own signature, and no phone number."""

import hmac
from collections.abc import Mapping
from urllib.parse import parse_qsl

from dispatcher.provider import TWILIO

LAST_ATTEMPT = 2**31 - 1
MOST_FIELDS = 20  # of which ours has three


def path(provider: str) -> str:
    """Where the provider's status webhooks come in."""
    return f"/webhooks/{provider}/status"


def url(public_url: str, key: bytes, recipient_id: str, attempt: int, provider: str = TWILIO) -> str:
    """Where the carrier reports on this attempt."""
    named = f"recipient={recipient_id}&attempt={attempt}&mac={_mac(key, recipient_id, attempt)}"
    return f"{public_url}{path(provider)}?{named}"


def fields(query_string: bytes) -> dict[str, str]:
    """The fields of an address that somebody reported to; none of one that has more than any of ours."""
    try:
        return dict(parse_qsl(query_string.decode("latin-1"), max_num_fields=MOST_FIELDS))
    except ValueError:
        return {}


def read(query: Mapping[str, str], key: bytes) -> tuple[str, int] | None:
    """(recipient_id, attempt) of a callback that we asked for; None for one that we did not."""
    recipient_id, attempt, mac = query.get("recipient", ""), query.get("attempt", ""), query.get("mac", "")
    if not (attempt.isascii() and attempt.isdigit() and len(attempt) < 11 and mac.isascii()):
        return None
    number = int(attempt)
    if number > LAST_ATTEMPT or not hmac.compare_digest(mac, _mac(key, recipient_id, number)):
        return None
    return recipient_id, number  # ours: only we can sign it


def _mac(key: bytes, recipient_id: str, attempt: int) -> str:
    return hmac.digest(key, f"{recipient_id}:{attempt}".encode(), "sha256")[:16].hex()
