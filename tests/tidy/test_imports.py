"""Services share events and plumbing, never each other's code."""

from pathlib import Path

import pytest

from tests.tidy.tree import PACKAGES, SERVICES, imported, modules, shown

MAY_IMPORT = {
    "schemas": set(),
    "kernel": {"schemas"},
    **{package: {"schemas", "kernel"} for package in SERVICES.values()},
    "handsent": {"schemas", "kernel", *SERVICES.values()},
    "simulator": set(),
}
MODULES = [(package, module) for package in PACKAGES for module in modules(package)]


@pytest.mark.parametrize(("package", "module"), MODULES, ids=[shown(module) for _, module in MODULES])
def test_a_package_imports_only_what_it_may(package: str, module: Path) -> None:
    ours = {name.split(".")[0] for name in imported(module)} & set(PACKAGES)
    assert ours <= MAY_IMPORT[package] | {package}


def test_only_the_settings_read_the_environment() -> None:
    readers = {
        shown(module)
        for package in ("kernel", *SERVICES.values())
        for module in modules(package)
        if "os.environ" in module.read_text() or "getenv" in module.read_text()
    }
    assert readers == {"services/kernel/kernel/settings.py"}
