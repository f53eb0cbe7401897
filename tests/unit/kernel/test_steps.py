"""Named steps: armed by a file, acted on by one process, and nothing at all without a folder."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel import steps


@pytest.fixture
def raised(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    found: list[int] = []
    monkeypatch.setattr(signal, "raise_signal", found.append)
    return found


@pytest.fixture(autouse=True)
def nothing_is_watched_afterwards() -> Iterator[None]:
    yield
    steps.watch("scheduler", "")


def test_without_a_folder_no_step_is_armed(raised: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    armed = tmp_path / "scheduler.batch.moved"
    armed.write_text("KILL")
    steps.watch("scheduler", "")
    steps.reached("batch.moved")
    assert raised == [] and armed.exists()


@pytest.mark.parametrize(("word", "number"), [("KILL", signal.SIGKILL), ("STOP\n", signal.SIGSTOP)])
def test_an_armed_step_raises_its_signal_once_and_says_in_whom(
    raised: list[int], tmp_path: Path, word: str, number: int
) -> None:
    steps.watch("scheduler", str(tmp_path))
    steps.reached("batch.moved")
    (tmp_path / "scheduler.batch.moved").write_text(word)
    steps.reached("batch.moved")
    steps.reached("batch.moved")
    assert raised == [number]
    assert [file.name for file in tmp_path.iterdir()] == [f"scheduler.batch.moved@{os.getpid()}"]


def test_a_step_is_that_of_one_service(raised: list[int], tmp_path: Path) -> None:
    (tmp_path / "send-intake.relay.read").write_text("KILL")
    steps.watch("scheduler", str(tmp_path))
    steps.reached("relay.read")
    assert raised == []
