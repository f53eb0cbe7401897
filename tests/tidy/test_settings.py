"""The README's table of settings is the code's, and both agree on every default."""

import ast
import re
from dataclasses import dataclass
from pathlib import Path

import handsent.settings as local
import pytest
import simulator.settings as simulator
from dispatcher.settings import Settings as Dispatcher
from kernel.settings import ServiceSettings
from projections.settings import Settings as Projections
from pydantic.fields import FieldInfo
from scheduler.settings import Settings as Scheduler
from send_intake.settings import Settings as SendIntake

from tests.tidy.tree import ROOT, table

README = ROOT / "README.md"
BLOCK = re.compile(r"<!-- settings -->\n(.*)<!-- /settings -->", re.DOTALL)
SERVICES = {"send-intake": SendIntake, "scheduler": Scheduler, "dispatcher": Dispatcher, "projections": Projections}
STACK = local.StackSettings
# The simulator shares no code with the rest and reads its environment by hand.
SIMULATOR = simulator.read({"TWILIO_ACCOUNT_SID": "AC1", "TWILIO_AUTH_TOKEN": "x"})
OF_SIMULATOR_ALONE = {
    "SIMULATOR_DATA": f"`{SIMULATOR.data}`",
    "SIMULATOR_SENT_CALLBACKS": f"`{SIMULATOR.sent_callbacks:d}`",
    "TELNYX_SIGNING_KEY": "`make run` makes it",
}


@dataclass(frozen=True)
class Setting:
    name: str
    default: str
    read_by: str


def read_by_simulator() -> set[str]:
    """The names in capitals that its settings module mentions."""
    tree = ast.parse(Path(simulator.__file__).read_text())
    literals = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return {text for text in literals if re.fullmatch(r"[A-Z]+(_[A-Z]+)+", text)}


def settings() -> list[Setting]:
    """Every setting, in the order of the kernel, the services, the stack, the simulator."""
    names: dict[str, None] = dict.fromkeys(ServiceSettings.model_fields)
    for each in (*SERVICES.values(), STACK):
        names |= dict.fromkeys(each.model_fields)
    return [_setting(name) for name in names] + [
        Setting(name, default, "simulator") for name, default in OF_SIMULATOR_ALONE.items()
    ]


def _setting(name: str) -> Setting:
    owners = [service for service, each in SERVICES.items() if name in each.model_fields]
    everyone = ["all services"] if len(owners) == len(SERVICES) else owners
    simulator_too = ["simulator"] if name.upper() in read_by_simulator() else []
    return Setting(name.upper(), _default(name), ", ".join(everyone + simulator_too) or "`handsent`")


def _default(name: str) -> str:
    if name.upper() in local.FOLLOWS:
        return f"follows `{local.FOLLOWS[name.upper()]}`"
    found = _of_services(name) or [STACK.model_fields[name]]
    if all(field.is_required() for field in found):
        return "required; `make run` makes it"
    return f"`{found[0].default}`" if found[0].default != "" else "not set"


def _of_services(name: str) -> list[FieldInfo]:
    return [each.model_fields[name] for each in SERVICES.values() if name in each.model_fields]


def _same_everywhere(name: str) -> set[str]:
    fields = _of_services(name) + ([STACK.model_fields[name]] if name in STACK.model_fields else [])
    return {repr(field.default) for field in fields if not field.is_required() and field.default != ""}


def expected(meanings: dict[str, str]) -> str:
    rows = [
        f"| `{s.name}` | {s.default} | {s.read_by} | {meanings.get(f'`{s.name}`', 'MEANING MISSING')} |"
        for s in settings()
    ]
    return "\n".join(["| setting | default | read by | meaning |", "|---|---|---|---|", *rows, ""])


def test_the_readme_lists_every_setting_with_its_default_and_meaning() -> None:
    found = BLOCK.search(README.read_text())
    assert found, "the README has no <!-- settings --> … <!-- /settings -->"
    meanings = {row["setting"]: row["meaning"] for row in table(found[1])}
    wanted = expected(meanings)
    assert found[1] == wanted, f"the README's table should be:\n\n{wanted}"
    assert "MEANING MISSING" not in wanted and all(meanings.values())


@pytest.mark.parametrize("name", sorted({n for each in SERVICES.values() for n in each.model_fields}))
def test_a_setting_has_one_default_whoever_reads_it(name: str) -> None:
    if name.upper() not in local.FOLLOWS:
        assert len(_same_everywhere(name)) <= 1


def test_the_simulator_reads_no_setting_that_the_table_does_not_have() -> None:
    assert {"CARRIER_PORT", "PUBLIC_URL"} < read_by_simulator() <= {setting.name for setting in settings()}
    assert STACK.model_fields["carrier_port"].default == SIMULATOR.port


def test_every_port_of_the_design_is_the_default() -> None:
    ports = {name: STACK.model_fields[name.lower()].default for name in local.SERVICE_PORTS}
    assert ports == {
        "INTAKE_PORT": 8000, "DISPATCHER_PORT": 8001, "PROJECTIONS_PORT": 8002, "SCHEDULER_PORT": 8003,
        "CARRIER_PORT": 8010,
    }  # fmt: skip


def test_a_secret_is_in_no_representation() -> None:
    for each in (*SERVICES.values(), STACK):
        for name, field in each.model_fields.items():
            if name.endswith(("_key", "_secret", "_token")):
                assert field.repr is False, f"{each.__module__}.{name}"
