"""What is a person's leaves its service sealed: AES-256-GCM under a key of the person's own.

A sealed text is text itself, so that it fits wherever the plain one did: `~1.` and then, in base64, the key's id
(8 bytes), a nonce (12), the ciphertext and its tag (16). It says which key opens it; without that key it says nothing,
and once the key is destroyed it never will again. What was written before sealing began has no such beginning and is
read as it is.
"""

import binascii
import hashlib
import hmac
from os import urandom

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

PREFIX = "~1."
KEY_BYTES, KEY_ID_BYTES, NONCE_BYTES, TAG_BYTES = 32, 8, 12, 16
_SHORTEST = KEY_ID_BYTES + NONCE_BYTES + TAG_BYTES
_ID_CHARACTERS = 12  # of base64 are 9 bytes: the key's id and one more

NUMBER, CELLS, EVIDENCE, TEMPLATE, REPLY, CALLBACK = "number", "cells", "evidence", "template", "reply", "callback"


class Tampered(ValueError):
    """The text is sealed with this key, but not as it stands here: it was changed, or belongs elsewhere."""


def text_of(recipient_id: str) -> str:
    """What a rendered text is sealed as: bound to its recipient, it cannot be passed off as another's."""
    return f"text {recipient_id}"


class Key:
    """Somebody's key. `key_id` names it and gives nothing away."""

    __slots__ = ("_aead", "_secret", "key_id")

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._aead = AESGCM(secret)
        self.key_id = hashlib.sha256(b"handsent key id" + secret).digest()[:KEY_ID_BYTES]

    def seal(self, what: str, text: str) -> str:
        """`what` says what the text is (`NUMBER`, `text_of(…)`): it opens as that and as nothing else."""
        nonce = urandom(NONCE_BYTES)
        sealed = self.key_id + nonce + self._aead.encrypt(nonce, text.encode(), what.encode())
        return PREFIX + binascii.b2a_base64(sealed, newline=False).decode()

    def open(self, what: str, sealed: bytes) -> str:
        """The text behind nonce, ciphertext and tag. Raises Tampered."""
        try:
            return self._aead.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], what.encode()).decode()
        except InvalidTag:
            raise Tampered(f"a sealed {_kind(what)} does not open with its own key") from None

    def commitment(self, recipient_id: str, text: str) -> str:
        """HMAC-SHA256 in hex: proves which text was meant, to whoever holds the key, and tells others nothing."""
        return hmac.digest(self._secret, f"text {recipient_id}\0{text}".encode(), "sha256").hex()


def is_sealed(text: str) -> bool:
    return text.startswith(PREFIX)


def key_id_of(sealed: str) -> bytes | None:
    """The id of the key that opens it; None for a text that is not sealed, or torn."""
    if not is_sealed(sealed):
        return None
    start = len(PREFIX)
    try:
        return binascii.a2b_base64(sealed[start : start + _ID_CHARACTERS])[:KEY_ID_BYTES]
    except ValueError:
        return None


def unseal(key: Key | None, what: str, sealed: str) -> str | None:
    """The text; None when its key is gone, which means that the person was erased. Raises Tampered.

    A person who comes back after an erasure gets another key: what the old one sealed stays closed.
    """
    if not is_sealed(sealed):
        return sealed
    try:
        raw = binascii.a2b_base64(sealed[len(PREFIX) :], strict_mode=True)
    except ValueError:  # binascii.Error is one
        raise Tampered(f"this is no sealed {_kind(what)}") from None
    if len(raw) < _SHORTEST:
        raise Tampered(f"this is too short for a sealed {_kind(what)}")
    if key is None or raw[:KEY_ID_BYTES] != key.key_id:
        return None
    return key.open(what, raw[KEY_ID_BYTES:])


def _kind(what: str) -> str:
    return what.partition(" ")[0]


class VaultKey:
    """The key that wraps the others: it comes from a secret and is stored nowhere."""

    __slots__ = ("_aead", "key_id")

    def __init__(self, secret: str) -> None:
        # The secret has at least 256 bits (see the settings), so one hash makes a key of it.
        self._aead = AESGCM(hashlib.sha256(b"handsent vault" + secret.encode()).digest())
        self.key_id = hashlib.sha256(b"handsent vault id" + secret.encode()).digest()[:KEY_ID_BYTES]

    def wrap(self, subject_id: str, secret: bytes) -> bytes:
        """Bound to its subject: a row of the vault cannot stand in for another."""
        nonce = urandom(NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, secret, subject_id.encode())

    def unwrap(self, subject_id: str, wrapped: bytes) -> bytes:
        """Raises Tampered."""
        try:
            return self._aead.decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], subject_id.encode())
        except InvalidTag:
            raise Tampered(f"the vault's key of {subject_id} was changed, or is another's") from None
