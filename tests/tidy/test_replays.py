"""A replay can send nothing: what reaches the carrier, or writes to the log, is out of its reach."""

from pathlib import Path

import pytest

from tests.tidy.tree import PACKAGES, imported, shown

COMMANDS = sorted(PACKAGES["handsent"].glob("replay*.py"))
WORKERS = [PACKAGES["projections"] / f"{name}.py" for name in ("app_bulk", "app_run", "app_promote", "app_scan")]
# Of dispatcher its rules may be reached, which `verify` folds its tables by; not what POSTs, nor what decides to.
DISPATCHES = {
    f"dispatcher.{name}" for name in ("gateway", "app_intents", "app_outcomes", "app_left", "api", "__main__")
}
SENDS = DISPATCHES | {"twilio", "faust", "handsent.seed", "kernel.relay", "kernel.faust_app"}
ASKS_OVER_HTTP = {"aiohttp", "httpx", "requests", "urllib.request", "http.client", "handsent.caller"}
MAKES_PRODUCERS = "services/kernel/kernel/kafka.py"  # for those who ask it to


def reached(module: Path) -> tuple[set[str], set[Path]]:
    """Everything the module imports, and what of ours that imports, and so on; and the files of ours."""
    names: set[str] = set()
    seen, left = {module}, [module]
    while left:
        found = imported(left.pop())
        names |= found
        for name in found:
            path = module_of(name)
            if path is not None and path not in seen:
                seen.add(path)
                left.append(path)
    return names, seen


def module_of(name: str) -> Path | None:
    """The file of a dotted name of ours; the name may end with something that stands in the file."""
    package, *rest = name.split(".")
    if package not in PACKAGES:
        return None
    for parts in (rest, rest[:-1]):
        path = PACKAGES[package].joinpath(*parts)
        if parts and path.with_suffix(".py").exists():
            return path.with_suffix(".py")
    return None


def under(name: str, roots: set[str]) -> bool:
    return any(name == root or name.startswith(f"{root}.") for root in roots)


@pytest.mark.parametrize("module", [*COMMANDS, *WORKERS], ids=lambda path: path.stem)
def test_a_replay_reaches_nothing_that_sends(module: Path) -> None:
    names, files = reached(module)
    assert {name for name in names if under(name, SENDS | ASKS_OVER_HTTP)} == set()
    writes = {shown(path) for path in files if "producer(" in path.read_text().lower()}
    assert writes <= {MAKES_PRODUCERS}


def test_the_search_finds_what_is_reached_indirectly() -> None:
    names, files = reached(PACKAGES["dispatcher"] / "__main__.py")
    assert PACKAGES["dispatcher"] / "gateway.py" in files and "twilio" in {name.split(".")[0] for name in names}
