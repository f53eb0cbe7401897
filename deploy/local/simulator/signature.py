"""X-Twilio-Signature, from Twilio's description of it and not from its package: each side checks the other."""

import base64
import hmac
from collections.abc import Mapping


def sign(url: str, form: Mapping[str, str], auth_token: str) -> str:
    """Base64 of HMAC-SHA1 over the exact URL and then each field's name and value, sorted by name."""
    text = url + "".join(name + form[name] for name in sorted(form))
    return base64.b64encode(hmac.digest(auth_token.encode(), text.encode(), "sha1")).decode()
