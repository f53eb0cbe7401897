"""What people ask for acts for their account: nobody takes a connection past the walls."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tidy.tree import PACKAGES, SERVICES, modules, shown

# Whatever answers people. Other stores also work for the service itself, over all accounts.
OF_PEOPLE = [
    *(module for package in SERVICES.values() for module in modules(package) if module.stem.startswith("api")),
    *(PACKAGES["send_intake"] / f"{name}.py" for name in ("store", "store_presses", "store_sealed", "store_sending")),
    *(
        PACKAGES["dispatcher"] / f"{name}.py"
        for name in ("store_opt_outs", "store_persons", "store_holds", "store_rulings")
    ),
    *(PACKAGES["projections"] / f"{name}.py" for name in ("store_reads", "store_figures", "store_report")),
]
AT_ONCE = {"acquire", "execute", "executemany", "fetch", "fetchrow", "fetchval"}
FOR_THE_SERVICE = {"depths", "figures", "finish"}  # the figures of /status; what is left to do of erasures
MAKES_POOLS = {"services/kernel/kernel/database.py", "services/kernel/kernel/vault.py"}


def calls(module: Path) -> Iterator[tuple[str, str, str]]:
    """(the function it stands in, what is called, on what) of every method called in the module."""
    for function in ast.walk(ast.parse(module.read_text())):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for node in ast.walk(function):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                    yield function.name, node.func.attr, ast.unparse(node.func.value)


@pytest.mark.parametrize("module", OF_PEOPLE, ids=shown)
def test_what_answers_people_asks_as_somebody(module: Path) -> None:
    past_the_walls = {
        (function, f"{on}.{method}")
        for function, method, on in calls(module)
        if method in AT_ONCE and on.endswith("pool") and function not in FOR_THE_SERVICE
    }
    assert past_the_walls == set()


def test_only_the_kernel_makes_pools() -> None:
    """Whose connections forget, on their way back, for whom they acted."""
    found = {shown(m) for package in PACKAGES for m in modules(package) if any(c[1] == "create_pool" for c in calls(m))}
    assert found <= MAKES_POOLS
