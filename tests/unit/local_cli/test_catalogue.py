"""`handsent schemas check`: what it finds wrong."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from handsent.__main__ import COMMANDS, main
from handsent.catalogue import problems

from schemas.codec import ROOT, SCHEMA_IDS

FOUND = {str(path.relative_to(ROOT).with_suffix("")): path for path in ROOT.rglob("*.avsc")}


def test_the_repository_s_schemas_are_whole() -> None:
    assert problems(FOUND, SCHEMA_IDS) == []
    answer = CliRunner().invoke(main, ["schemas", "check"])
    assert answer.exit_code == 0


def test_every_schema_is_listed_with_its_id() -> None:
    lines = CliRunner().invoke(main, ["schemas", "list"]).stdout.splitlines()
    assert [int(line.split()[0]) for line in lines] == sorted(SCHEMA_IDS.values())


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        ({"clock/ClockAdvanced": None}, "clock/ClockAdvanced: has no id in ids.json"),
        ({"clock/ClockStopped": 99}, "clock/ClockStopped: has an id, but no schema"),
        ({"clock/ClockStopped/2": 99}, "clock/ClockStopped/2: has an id, but no schema"),
        ({"clock/ClockAdvanced/2": 99}, "clock/ClockAdvanced/2: has an id, but no schema"),
        ({"clock/ClockAdvanced": 1}, "campaigns/CampaignCreated and clock/ClockAdvanced: share the id 1"),
    ],
)
def test_what_is_wrong_with_the_ids_is_said(ids: dict[str, int | None], said: str) -> None:
    changed = {name: number for name, number in {**SCHEMA_IDS, **ids}.items() if number is not None}
    assert problems(FOUND, changed) == [said]


def test_a_later_version_has_an_id_of_its_own() -> None:
    without = {name: number for name, number in SCHEMA_IDS.items() if name != "recipients/RecipientAdded/2"}
    assert problems(FOUND, without) == ["recipients/RecipientAdded/2: has no id in ids.json"]


def test_a_schema_that_does_not_parse_or_belongs_nowhere_is_said(tmp_path: Path) -> None:
    found = problems({**FOUND, "clock/ClockStopped": tmp_path}, {**SCHEMA_IDS, "clock/ClockStopped": 99})
    assert found[0].startswith("clock/ClockStopped: FileNotFoundError")
    assert found[1] == "clock/ClockStopped: no topic carries it"


@pytest.mark.parametrize("command", list(COMMANDS))
def test_every_command_explains_itself(command: str) -> None:
    answer = CliRunner().invoke(main, [command, "--help"])
    assert answer.exit_code == 0 and "Usage" in answer.stdout


def test_no_command_is_a_wrong_use() -> None:
    assert CliRunner().invoke(main, ["no-such-command"]).exit_code == 2
