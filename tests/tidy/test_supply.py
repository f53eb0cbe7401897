"""What comes from others: pinned, hashed, the same everywhere, and listed."""

import json
import re
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ET
from importlib import metadata

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.tidy.test_image import pins
from tests.tidy.tree import ROOT

LOCKS = ("requirements.txt", "requirements-runtime.txt")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = [line for lines in PROJECT["optional-dependencies"].values() for line in lines]
SBOM = ROOT / "deploy/sbom.json"
MAVEN = "{http://maven.apache.org/POM/4.0.0}"


@pytest.mark.parametrize("lock", LOCKS)
def test_every_line_of_a_lock_is_a_pin_with_hashes_and_nothing_else(lock: str) -> None:
    text = (ROOT / lock).read_text().replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
    pin = re.compile(r"[\w.-]+==[\w.!+-]+( ; [^-]+?)?( +--hash=sha256:[0-9a-f]{64})+")
    assert [line[:60] for line in lines if not pin.fullmatch(line)] == []
    assert len(lines) == len(pins(lock))


def test_the_image_runs_what_was_tested() -> None:
    runtime, tested = pins("requirements-runtime.txt"), pins("requirements.txt")
    assert {name for name, pin in runtime.items() if tested.get(name) != pin} == set()


ASKED = {"requirements.txt": PROJECT["dependencies"] + EXTRAS, "requirements-runtime.txt": PROJECT["dependencies"]}


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_is_within_what_the_project_asks_for(lock: str) -> None:
    locked = pins(lock)
    for requirement in map(Requirement, ASKED[lock]):
        version = locked[canonicalize_name(requirement.name)][0]
        assert requirement.specifier.contains(version, prereleases=True), (lock, str(requirement), version)


def test_what_is_installed_is_what_was_locked() -> None:
    installed = {canonicalize_name(d.metadata["Name"]): d.version for d in metadata.distributions()}
    locked = {canonicalize_name(name): version for name, (version, _) in pins("requirements.txt").items()}
    assert {name: version for name, version in locked.items() if installed.get(name, version) != version} == {}
    assert set(installed) - set(locked) <= {"handsent", "pip", "setuptools"}


def test_kafka_s_jars_are_pinned() -> None:
    versions = [found.text or "" for found in ET.parse(ROOT / "deploy/local/kafka/pom.xml").iter(f"{MAVEN}version")]
    assert len(versions) >= 3
    assert [version for version in versions if not re.fullmatch(r"\d+(\.\d+)*", version)] == []


def test_the_bill_of_materials_is_the_lock() -> None:
    document = json.loads(SBOM.read_text())
    assert (document["bomFormat"], document["metadata"]["component"]["name"]) == ("CycloneDX", PROJECT["name"])
    listed = {found["name"]: found["version"] for found in document["components"]}
    assert listed == {name: version for name, (version, _) in pins("requirements-runtime.txt").items()}


def test_the_bill_of_materials_is_as_make_sbom_writes_it() -> None:
    made = subprocess.run([sys.executable, ROOT / "deploy/sbom.py"], capture_output=True, text=True, check=True)
    assert made.stdout == SBOM.read_text(), "make sbom"
