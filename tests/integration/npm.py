"""Programs of others that npm installs for tests: once, by a lock's hashes, into a folder of the tree's own."""

import hashlib
import shutil
import subprocess
from pathlib import Path

from tests.tidy.tree import ROOT

INSTALL_S = 300


def installed(here: Path) -> Path:
    """The folder in which what `here`'s package-lock.json names is installed, exactly as its hashes say."""
    name = hashlib.sha256((here / "package-lock.json").read_bytes()).hexdigest()[:16]
    folder = ROOT / ".npm" / name
    if not (folder / "ready").exists():
        assert shutil.which("npm"), "this test runs a program that npm installs, and there is no npm on the PATH"
        folder.mkdir(parents=True, exist_ok=True)
        for file in ("package.json", "package-lock.json"):
            shutil.copy(here / file, folder)
        command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
        subprocess.run(command, cwd=folder, check=True, timeout=INSTALL_S, capture_output=True)
        (folder / "ready").touch()
    return folder
