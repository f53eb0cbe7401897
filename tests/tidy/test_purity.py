"""Pure by default: only modules named for it do I/O, know the time or roll dice."""

import ast
import re
from pathlib import Path

import pytest

from tests.tidy.tree import PACKAGES, SERVICES, imported, modules, shown

DOES_IO = re.compile(r"(__main__|settings|(api|app|web|gateway|store)(_\w+)?)")
IMPURE_MODULES = {
    "asyncio", "asyncpg", "aiohttp", "aiokafka", "faust", "fastapi", "httptools", "uvicorn", "uvloop", "starlette",
    "concurrent", "ctypes", "fcntl", "glob", "http", "importlib", "io.open", "logging", "multiprocessing", "os",
    "pathlib", "random", "requests", "secrets", "select", "selectors", "shutil", "signal", "socket", "sqlite3",
    "ssl", "structlog", "subprocess", "sys", "tempfile", "threading", "time", "urllib.request",
    "prometheus_client", "uuid.uuid1", "uuid.uuid4", "twilio.rest",
}  # fmt: skip
IMPURE_CALLS = {"open", "input", "print", "exec", "eval"}
CLOCKS = {"now", "today", "utcnow", "uuid1", "uuid4", "urandom", "monotonic", "perf_counter", "read_text", "write_text"}
# Opening what is sealed is a rule like another, for whoever was given the key. Sealing is not: it rolls dice.
OPENS = {
    f"kernel.seal.{name}"
    for name in ("CELLS", "EVIDENCE", "NUMBER", "TEMPLATE", "Key", "Tampered", "text_of", "unseal")
}
PURE_OF_KERNEL = {
    "kernel.phone",
    "kernel.received",
    "kernel.tokens.Role",
    "kernel.tokens.User",
    "kernel.opening",
    "kernel.verdict",
} | OPENS

PURE = [
    module
    for package in SERVICES.values()
    for module in modules(package)
    if not DOES_IO.fullmatch(module.stem) and module.stem != "__init__"
] + [module for module in modules("kernel") if f"kernel.{module.stem}" in PURE_OF_KERNEL]


def test_there_are_pure_modules_in_every_service() -> None:
    assert {module.parent.name for module in PURE} >= set(SERVICES.values())


@pytest.mark.parametrize("module", PURE, ids=shown)
def test_a_rule_does_no_io(module: Path) -> None:
    names = imported(module)
    assert not {name for name in names if _within(name, IMPURE_MODULES)}
    assert not {name for name in names if name.startswith("kernel") and not _within(name, PURE_OF_KERNEL)}
    assert not {name for name in names if _is_impure_sibling(name)}


@pytest.mark.parametrize("module", PURE, ids=shown)
def test_a_rule_knows_no_clock_and_awaits_nothing(module: Path) -> None:
    for node in ast.walk(ast.parse(module.read_text())):
        assert not isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith), _place(
            module, node
        )
        if isinstance(node, ast.Call):
            called = node.func
            if isinstance(called, ast.Name):
                assert called.id not in IMPURE_CALLS, _place(module, node)
            if isinstance(called, ast.Attribute):
                assert called.attr not in CLOCKS, _place(module, node)


def _within(name: str, roots: set[str]) -> bool:
    return any(name == root or name.startswith(f"{root}.") for root in roots)


def _is_impure_sibling(name: str) -> bool:
    package, _, rest = name.partition(".")
    module = rest.split(".")[0]
    return (
        package in SERVICES.values()
        and (PACKAGES[package] / f"{module}.py").exists()
        and bool(DOES_IO.fullmatch(module))
    )


def _place(module: Path, node: ast.AST) -> str:
    return f"{shown(module)}:{getattr(node, 'lineno', '?')}"
