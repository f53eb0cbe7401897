"""A real OpenID Connect issuer on this machine: a process of its own, with a key that the tests know too."""

import json
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.integration import npm

HERE = Path(__file__).parent
START_S = 30.0
CLIENT_ID, CLIENT_SECRET, AUDIENCE = "handsent", "a client secret", "handsent-api"
SERVICE_ID, SERVICE_SECRET = "a-service", "another-client-secret"


def installed() -> Path:
    """The folder to run it in; what npm installs is what the lock's hashes say."""
    folder = npm.installed(HERE)
    shutil.copy(HERE / "issuer.mjs", folder)
    return folder


class Key:
    """A signing key of the issuer's."""

    def __init__(self, key_id: str) -> None:
        self.key_id = key_id
        self.private = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    @property
    def jwk(self) -> dict[str, Any]:
        content: dict[str, Any] = jwt.algorithms.RSAAlgorithm.to_jwk(self.private, as_dict=True)
        return {**content, "kid": self.key_id, "use": "sig", "alg": "RS256"}


class Issuer:
    """Started with a key; started again with another one, it has rotated its keys."""

    def __init__(self, port: int, redirect_uri: str, log: Path) -> None:
        self.port, self.url, self._redirect_uri, self._log = port, f"http://127.0.0.1:{port}", redirect_uri, log
        self._process: subprocess.Popen[bytes] | None = None
        self.key = Key("first")

    def start(self, key: Key | None = None) -> None:
        self.key = key or self.key
        settings = {"port": self.port, "key": self.key.jwk, "redirect_uri": self._redirect_uri}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                ["node", "issuer.mjs"], cwd=installed(), stdin=subprocess.PIPE, stdout=log, stderr=log
            )
        assert self._process.stdin
        self._process.stdin.write(json.dumps(settings).encode())
        self._process.stdin.close()
        deadline = time.monotonic() + START_S
        while not self._answers():
            assert self._process.poll() is None and time.monotonic() < deadline, self._log.read_text()[-2000:]
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/.well-known/openid-configuration", timeout=1):
                return True
        except OSError:
            return False

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None
