"""The repository as the tidy tests see it."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
SERVICES = {  # the unit's folder -> the package inside
    "send-intake": "send_intake",
    "scheduler": "scheduler",
    "dispatcher": "dispatcher",
    "projections": "projections",
}
PACKAGES = {
    "schemas": ROOT / "schemas",
    "kernel": ROOT / "services/kernel/kernel",
    **{package: ROOT / "services" / unit / package for unit, package in SERVICES.items()},
    "handsent": ROOT / "deploy/local/handsent",
    "simulator": ROOT / "deploy/local/simulator",
}
NOT_OURS = {"build", "dist", "__pycache__"}


def files(folder: Path = ROOT) -> Iterator[Path]:
    """Every file that belongs to the repository; folders that begin with a dot are tools' own, but for CI's."""
    for entry in sorted(folder.iterdir()):
        if entry.is_file():
            yield entry
        elif entry.is_dir() and entry.name not in NOT_OURS and (not entry.name.startswith(".") or entry.name == ".ci"):
            yield from files(entry)


def modules(package: str) -> list[Path]:
    return sorted(PACKAGES[package].rglob("*.py"))


def shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imported(module: Path) -> set[str]:
    """The full dotted names a module imports, also inside functions: `from a.b import c` gives `a.b.c`."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or "" if node.level == 0 else _resolved(module, node)
            names |= {f"{base}.{alias.name}" for alias in node.names}
    return names


def _resolved(module: Path, node: ast.ImportFrom) -> str:
    package, folder = next((p, f) for p, f in PACKAGES.items() if module.is_relative_to(f))
    above = module.relative_to(folder).parts[: -node.level]
    return ".".join([package, *above, *([node.module] if node.module else [])])


def table(markdown: str) -> list[dict[str, str]]:
    """The rows of the first Markdown table in the text, by its headers."""
    rows = [
        [cell.strip() for cell in line.strip().strip("|").replace("\\|", "\0").split("|")]
        for line in markdown.splitlines()
        if line.startswith("|")
    ]
    return [dict(zip(rows[0], row, strict=True)) for row in rows[2:]]
