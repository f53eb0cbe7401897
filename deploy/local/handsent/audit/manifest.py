"""The list of an archive's files with their SHA-256, as `sha256sum -c` reads it."""

import re
from collections.abc import Mapping

NAME = "MANIFEST"
_LINE = re.compile(r"([0-9a-f]{64})  ([A-Za-z0-9][\w./-]*)")


class BadManifest(ValueError):
    """It is no such list; the message says where."""


def text(sums: Mapping[str, str]) -> str:
    """Two blanks between sum and name: sha256sum's own form. Sorted, so that the same files give the same text."""
    return "".join(f"{sums[name]}  {name}\n" for name in sorted(sums))


def parse(said: str) -> dict[str, str]:
    """Name -> sum. Raises BadManifest for a line of another form, a name twice, or one that leaves the folder."""
    sums: dict[str, str] = {}
    for number, line in enumerate(said.splitlines(), 1):
        match = _LINE.fullmatch(line)
        if match is None or ".." in match[2] or match[2] in sums:
            raise BadManifest(f"line {number} of {NAME} is no sum and name")
        sums[match[2]] = match[1]
    return sums


def compare(listed: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """What is wrong with the files found: a line for each that is missing, too many, or not what it was."""
    return sorted(
        [f"{name} is missing" for name in listed.keys() - found.keys()]
        + [f"{name} is not in {NAME}" for name in found.keys() - listed.keys()]
        + [f"{name} is not what {NAME} says" for name in listed.keys() & found.keys() if listed[name] != found[name]]
    )
