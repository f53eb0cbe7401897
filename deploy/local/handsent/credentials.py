"""The secrets of one home: made once, kept in HANDSENT_HOME/secrets.json, readable by its owner only."""

import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path

MAKERS: dict[str, Callable[[], str]] = {
    "PERSON_ID_SECRET": lambda: secrets.token_hex(32),
    "VAULT_KEY": lambda: secrets.token_hex(32),
    "TOKEN_KEY": lambda: secrets.token_hex(32),
    "CALLBACK_KEY": lambda: secrets.token_hex(32),
    "TWILIO_ACCOUNT_SID": lambda: "AC" + secrets.token_hex(16),
    "TWILIO_AUTH_TOKEN": lambda: secrets.token_hex(16),
    "POSTGRES_PASSWORD": lambda: secrets.token_hex(24),
}


def load(home: Path) -> dict[str, str]:
    """The home's secrets; those that are missing are made and stored first."""
    path = home / "secrets.json"
    known: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    missing = {name: make() for name, make in MAKERS.items() if name not in known}
    if missing:
        write_private(path, json.dumps(known | missing, indent=2) + "\n")
    return known | missing


def write_private(path: Path, text: str) -> None:
    """Replaces the file in one step, never readable by others; a crash leaves the old file or the new one."""
    part = path.with_name(path.name + ".new")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
