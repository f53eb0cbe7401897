"""The image: what it copies is there, what it installs is pinned, hashed and enough, and nobody in it is root."""

import re
from fnmatch import fnmatch
from importlib import metadata
from itertools import pairwise
from pathlib import PurePosixPath

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.tidy.tree import PACKAGES, ROOT, SERVICES

DOCKERFILE = ROOT / "deploy/Dockerfile"
PIN = re.compile(r"^(?P<name>[\w.-]+)==(?P<version>\S+)(?P<marker> ;[^\\]*)?", re.MULTILINE)


def instructions() -> list[tuple[str, list[str]]]:
    """(instruction, words), comments gone and continued lines joined."""
    lines = [line for line in DOCKERFILE.read_text().splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [(words[0], words[1:]) for line in joined.splitlines() if (words := line.split())]


def of(name: str) -> list[list[str]]:
    return [words for instruction, words in instructions() if instruction == name]


def pins(file: str) -> dict[str, tuple[str, frozenset[str]]]:
    """Name -> version and hashes."""
    text = (ROOT / file).read_text()
    starts = [match.start() for match in PIN.finditer(text)] + [len(text)]
    found: dict[str, tuple[str, frozenset[str]]] = {}
    for begin, end in pairwise(starts):
        part = text[begin:end]
        pin = PIN.match(part)
        assert pin is not None
        found[pin["name"]] = (pin["version"], frozenset(re.findall(r"--hash=sha256:([0-9a-f]{64})", part)))
    return found


def test_every_stage_begins_with_a_pinned_image() -> None:
    images = [words[0] for words in of("FROM")]
    assert images and all(re.fullmatch(r"[a-z]+:\d+\.\d+[\w.-]*", image) for image in images)
    assert len(set(images)) == 1, "the stages share one Python, or the virtual environment would not fit"


def test_everything_copied_is_there_and_not_ignored() -> None:
    copied = [words[0] for words in of("COPY") if not words[0].startswith("--from=")]
    assert {source for source in copied if not (ROOT / source).exists()} == set()
    assert {source for source in copied if _ignored(source)} == set()
    assert _ignored("README.md") and _ignored(".git/config") and _ignored("deploy/local/simulator/api.py")


def _ignored(path: str) -> bool:
    """As Docker reads `.dockerignore`: the last pattern that matches the path, or a folder above it, decides."""
    above = [path.rsplit("/", up)[0] for up in range(path.count("/") + 1)]
    ignored = False
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!")
        if line and not line.startswith("#") and any(_matches(each, pattern) for each in above):
            ignored = not line.startswith("!")
    return ignored


def _matches(path: str, pattern: str) -> bool:
    return fnmatch(path, pattern) and ("**" in pattern or path.count("/") == pattern.count("/"))


def test_the_packages_are_copied_to_where_python_finds_them() -> None:
    packages = {PACKAGES[package].relative_to(ROOT).as_posix(): package for package in PACKAGES}
    copied = [PurePosixPath(words[1]) for words in of("COPY") if packages.get(words[0]) == PurePosixPath(words[1]).name]
    assert {"schemas", "kernel", "handsent", *SERVICES.values()} == {path.name for path in copied}
    (found_in,) = re.findall(r"PYTHONPATH=(\S+)", DOCKERFILE.read_text())
    assert {str(path.parent) for path in copied} == set(found_in.split(":"))
    assert of("ENTRYPOINT") == [['["python",', '"-m"]']]


def test_nobody_is_root() -> None:
    last = max(i for i, (name, _) in enumerate(instructions()) if name == "FROM")
    ((user,),) = [words for name, words in instructions()[last:] if name == "USER"]
    uid, gid = user.split(":")
    assert int(uid) >= 1000 and int(gid) >= 1000


def test_it_installs_only_what_was_pinned_and_hashed() -> None:
    ((*_, file),) = [words for words in of("RUN") if "install" in words]
    assert file == "/build/requirements-runtime.txt"
    assert "--require-hashes" in DOCKERFILE.read_text()


def test_what_it_installs_is_a_subset_of_what_is_tested() -> None:
    runtime, tested = pins("requirements-runtime.txt"), pins("requirements.txt")
    assert {name: pin for name, pin in runtime.items() if tested.get(name) != pin} == {}
    assert all(hashes for _, hashes in runtime.values())


def test_what_it_installs_is_what_the_services_depend_on() -> None:
    wanted, todo = set(), ["handsent"]
    while todo:
        for line in metadata.requires(todo.pop()) or []:
            requirement = Requirement(line)
            name = canonicalize_name(requirement.name)
            # The extras of a dependency are named with it; ours (`local`, `dev`) are not for the image.
            if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
                continue
            if name not in wanted:
                wanted.add(name)
                todo.append(name)
    assert set(pins("requirements-runtime.txt")) == wanted
