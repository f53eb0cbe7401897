"""The secrets of one home: made once, kept in HANDSENT_HOME/secrets.json, readable by its owner only."""

import base64
import json
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

MAKERS: dict[str, Callable[[], str]] = {
    "PERSON_ID_SECRET": lambda: secrets.token_hex(32),
    "VAULT_KEY": lambda: secrets.token_hex(32),
    "TOKEN_KEY": lambda: secrets.token_hex(32),
    "CALLBACK_KEY": lambda: secrets.token_hex(32),
    "TWILIO_ACCOUNT_SID": lambda: "AC" + secrets.token_hex(16),
    "TWILIO_AUTH_TOKEN": lambda: secrets.token_hex(16),
    "TELNYX_API_KEY": lambda: "KEY" + secrets.token_hex(24),
    "TELNYX_SIGNING_KEY": lambda: base64.b64encode(secrets.token_bytes(32)).decode(),  # of the simulator alone
    "POSTGRES_PASSWORD": lambda: secrets.token_hex(24),
}


def load(home: Path) -> dict[str, str]:
    """The home's secrets; those that are missing are made and stored first."""
    path = home / "secrets.json"
    known: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    missing = {name: make() for name, make in MAKERS.items() if name not in known}
    if missing:
        write_private(path, json.dumps(known | missing, indent=2) + "\n")
    return known | missing | _derived(known | missing)


def _derived(made: Mapping[str, str]) -> dict[str, str]:
    """What follows from a secret."""
    signing = Ed25519PrivateKey.from_private_bytes(base64.b64decode(made["TELNYX_SIGNING_KEY"]))
    return {"TELNYX_PUBLIC_KEY": base64.b64encode(signing.public_key().public_bytes_raw()).decode()}


def write_private(path: Path, text: str) -> None:
    """Replaces the file in one step, never readable by others; a crash leaves the old file or the new one."""
    part = path.with_name(path.name + ".new")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
