"""What a process noted of its POSTs outlives its kill, and is believed only of the dead of this machine."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from dispatcher import app_marks
from dispatcher.app_marks import HEADER, Marks, begun

BEGUN, DONE, NEVER = (f"0f0e0d0c-0b0a-4908-8706-05040302010{n}" for n in range(3))
PROCESS = f"""
import sys, time
from pathlib import Path
from dispatcher.app_marks import Marks
marks = Marks(Path(sys.argv[1]))
with marks.open(("{DONE}", 1)) as leaving:
    leaving()
with marks.open(("{NEVER}", 1)), marks.open(("{BEGUN}", 7)) as leaving:
    leaving()
    print(marks.name, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "marks"


@pytest.fixture
def process(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process in the middle of a POST, and the name of its file."""
    with subprocess.Popen([sys.executable, "-c", PROCESS, folder], stdout=subprocess.PIPE, text=True) as one:
        assert one.stdout is not None
        try:
            yield one, one.stdout.readline().strip()
        finally:
            one.kill()


def _kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_a_killed_process_had_begun_what_it_had_noted_and_nothing_else(
    folder: Path, process: tuple[subprocess.Popen[str], str]
) -> None:
    one, name = process
    _kill(one)
    assert begun(folder, name) == {(BEGUN, 7)}


def test_nothing_is_known_of_a_process_that_lives_or_is_frozen(
    folder: Path, process: tuple[subprocess.Popen[str], str]
) -> None:
    one, name = process
    assert begun(folder, name) is None
    one.send_signal(signal.SIGSTOP)
    assert begun(folder, name) is None


def test_nothing_is_known_after_another_boot(folder: Path, process: tuple[subprocess.Popen[str], str]) -> None:
    one, name = process
    _kill(one)
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(b"another boot's id"[:HEADER] + content[HEADER:])
    assert begun(folder, name) is None


def test_nothing_is_known_of_a_file_that_is_cut_off_or_not_here(
    folder: Path, process: tuple[subprocess.Popen[str], str]
) -> None:
    one, name = process
    _kill(one)
    (folder / name).write_bytes((folder / name).read_bytes()[:-1])
    assert begun(folder, name) is None
    app_marks.forget(folder, name)
    assert begun(folder, name) is None


def test_nothing_is_noted_or_believed_where_others_may_write(
    folder: Path, process: tuple[subprocess.Popen[str], str]
) -> None:
    one, name = process
    _kill(one)
    folder.chmod(0o777)
    assert begun(folder, name) is None
    marks = Marks(folder)
    assert marks.name is None
    with marks.open((NEVER, 1)) as leaving:
        leaving()
    marks.close()


def test_an_outcome_that_was_not_recorded_stays_noted(folder: Path) -> None:
    marks = Marks(folder)
    with pytest.raises(RuntimeError), marks.open((BEGUN, 1)) as leaving:
        leaving()
        raise RuntimeError("the record broke")
    content = (folder / str(marks.name)).read_bytes()
    assert any(noted for *_, noted in app_marks.SLOT.iter_unpack(content[HEADER:]))
    marks.close()
    assert list(folder.iterdir()) == []
