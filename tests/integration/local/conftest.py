"""Stacks of stand-ins, in a home with a space in its path."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from handsent.testing import Up, free_settings

HERE = Path(__file__).parent
COMMAND = (sys.executable, str(HERE / "standin.py"))

StartUp = Callable[..., Up]


@pytest.fixture(scope="module")
def start_up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartUp]:
    """Starts the stack: the same home and ports at every call, or another home beside it."""
    folder = tmp_path_factory.mktemp("a folder")
    settings = {**free_settings(), "PYTHONPATH": str(HERE)}
    started: list[Up] = []

    def start(home: str = "with space", **other: str) -> Up:
        started.append(Up(folder / home, settings | other, COMMAND))
        return started[-1]

    yield start
    for one in started:
        one.stop()
