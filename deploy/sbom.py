"""Writes what the image is made of as a CycloneDX document, from the lock; the same lock gives the same bytes."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LOCK = "requirements-runtime.txt"


def made() -> dict[str, Any]:
    """The tool's document, without the index and the comments; hashes of every file stand in the lock."""
    tool = Path(sys.executable).with_name("cyclonedx-py")
    asked = [tool, "requirements", "--output-reproducible", "--of", "JSON"]
    done = subprocess.run([*asked, "--pyproject", "pyproject.toml", LOCK], cwd=ROOT, capture_output=True, check=True)
    document: dict[str, Any] = json.loads(done.stdout)
    document["components"] = [_component(found) for found in document["components"]]
    root = document["metadata"]["component"]
    document["metadata"] = {"component": {name: root[name] for name in ("bom-ref", "name", "type", "version")}}
    document["dependencies"] = [
        {"ref": root["bom-ref"], "dependsOn": sorted(found["bom-ref"] for found in document["components"])}
    ]
    return document


def _component(found: dict[str, Any]) -> dict[str, Any]:
    kept = {name: found[name] for name in ("type", "name", "version", "purl")}
    return {"bom-ref": found["purl"], **kept}


if __name__ == "__main__":
    print(json.dumps(made(), indent=2))
