"""The house in order: cards, help lines, sizes, and nothing that belongs to one machine."""

import re
from pathlib import Path

import pytest

from tests.tidy.tree import PACKAGES, ROOT, SERVICES, files, modules, shown

CARD = ["Consumes", "Decides", "Produces", "Owns", "Guarantees", "When it fails"]
MOST_LINES = 300
CATALOGUES = {"schemas/events.py"}  # as long as there are events
FOR_MAKE_ALONE = {"python"}  # a prerequisite of targets, nothing to call
# Written apart, or this file would name them.
REGISTRIES = {
    ".".join(parts)
    for parts in (
        ("docker", "io"), ("ghcr", "io"), ("quay", "io"), ("gcr", "io"), ("pkg", "dev"), ("registry", "k8s", "io"),
        ("public", "ecr", "aws"), ("mcr", "microsoft", "com"), ("pypi", "org"), ("pypi", "python", "org"),
        ("pythonhosted", "org"), ("repo", "maven", "apache", "org"), ("repo1", "maven", "org"),
        ("registry", "npmjs", "org"), ("proxy", "golang", "org"), ("jfrog", "io"),
    )
}  # fmt: skip
ELSEWHERE = re.compile(r"(?<![\w.$}>])/(?:home|Users)/\w+/|(?<![\w.])/(?:work|root|tmp)/\w")
INDEX_OPTION = re.compile(r"--(?:extra-)?index-url|\[\[?tool\.uv\.index")
TEXTS = [path for path in files() if path.suffix not in {".png", ".ico", ".woff2", ".gz", ".jar"}]


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_its_card(service: str) -> None:
    card = (ROOT / "services" / service / "README.md").read_text()
    assert card.startswith(f"# {service}\n")
    assert re.findall(r"^## (.*)$", card, flags=re.MULTILINE) == CARD
    assert all(part.strip() for part in re.split(r"^## .*$", card, flags=re.MULTILINE))


def test_every_make_target_has_a_line_of_help() -> None:
    lines = (ROOT / "Makefile").read_text().splitlines()
    targets = {m[1]: line for line in lines if (m := re.match(r"([A-Za-z][\w-]*):(?!=)", line))}
    assert {"help", "run", "demo", "test", "bench"} <= set(targets)
    assert {name for name, line in targets.items() if "## " not in line} <= FOR_MAKE_ALONE


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_is_too_long_to_read(package: str) -> None:
    sizes = {shown(module): len(module.read_text().splitlines()) for module in modules(package)}
    assert {name: lines for name, lines in sizes.items() if lines > MOST_LINES and name not in CATALOGUES} == {}


def test_no_registry_is_named_anywhere() -> None:
    named = {(shown(path), host) for path in TEXTS for host in REGISTRIES if host in _text(path)}
    assert named == set()
    assert [shown(path) for path in TEXTS if INDEX_OPTION.search(_text(path))] == []


def test_no_path_of_somebody_s_machine_is_in_the_tree() -> None:
    assert [(shown(path), found[0]) for path in TEXTS if (found := ELSEWHERE.search(_text(path)))] == []


def _text(path: Path) -> str:
    return path.read_bytes().decode(errors="replace")
