"""Ids that follow from what they name, so that the same thing always gets the same id.

Ids are canonical lower-case UUID text everywhere (36 characters): `uuid.UUID` objects cost more to make than to use.
"""

import hashlib
import hmac
from functools import lru_cache
from uuid import UUID

# uuid5 namespace of facts that belong to no campaign, recipient or person (the clock).
HANDSENT = "6f1a1c1e-8f0c-5c55-9d0e-2a5e0b7a4e11"


def uuid5(namespace: str, name: str) -> str:
    """`str(uuid.uuid5(UUID(namespace), name))`, three times as fast (1 µs)."""
    raw = bytearray(hashlib.sha1(_namespace_bytes(namespace) + name.encode(), usedforsecurity=False).digest()[:16])
    raw[6] = raw[6] & 0x0F | 0x50
    raw[8] = raw[8] & 0x3F | 0x80
    return _as_text(raw.hex())


def recipient_id(campaign_id: str, number: str) -> str:
    """One phone number (E.164) in one campaign."""
    return uuid5(campaign_id, number)


def person_id(secret: str, account_id: str, number: str) -> str:
    """One phone number (E.164) in one account: HMAC-SHA256(secret, "account_id:number")[:16] as a UUID."""
    digest = hmac.digest(secret.encode(), f"{account_id}:{number}".encode(), "sha256")
    return _as_text(digest[:16].hex())


def event_id(subject_id: str, event_type: str, ordinal: int | None = None) -> str:
    """The id of the fact that `event_type` happened to `subject_id`; `ordinal` tells attempts apart."""
    return uuid5(subject_id, event_type if ordinal is None else f"{event_type}:{ordinal}")


@lru_cache(maxsize=4096)
def _namespace_bytes(namespace: str) -> bytes:
    return UUID(namespace).bytes


def _as_text(digits: str) -> str:
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
