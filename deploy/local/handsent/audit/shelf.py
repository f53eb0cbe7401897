"""Checkpoints as files: a folder of them in their order, and beside each, if wanted, the leaves it was made of."""

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from handsent.audit.blocks import Cut
from handsent.audit.checkpoint import BadCheckpoint, Signed, read
from handsent.audit.framing import Position
from handsent.audit.log import Unreadable
from handsent.audit.make_checkpoint import Keep

SUFFIX, LEAVES = ".checkpoint", ".leaves"
LARGEST = 64 * 1024 * 1024
_ENTRY = struct.Struct(">Q32s")  # an offset and its leaf


def name_of(number: int) -> str:
    return f"{number:06d}{SUFFIX}"


def load(path: Path) -> Signed:
    """The checkpoint of a file. Raises Unreadable."""
    try:
        if path.stat().st_size > LARGEST:
            raise Unreadable(f"{path}: it is too large for a checkpoint")
        return read(path.read_bytes())
    except BadCheckpoint as error:
        raise Unreadable(f"{path}: {error}") from None
    except OSError as error:
        raise Unreadable(f"{path}: {error.strerror}") from None


def stored(folder: Path) -> list[Path]:
    """The folder's checkpoints; none when there is no such folder."""
    return sorted(folder.glob(f"*{SUFFIX}"))


def put(folder: Path, number: int, data: bytes) -> Path:
    """A new file under its number, whole or not at all; never in the place of another."""
    path = folder / name_of(number)
    part = folder / f".{name_of(number)}.{os.getpid()}"
    try:
        part.write_bytes(data)
        path.hardlink_to(part)
    except FileExistsError:
        raise click.ClickException(f"{path} has been made meanwhile") from None
    except OSError as error:
        raise Unreadable(f"{folder}: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)
    return path


@contextmanager
def keeping(path: Path | None) -> Iterator[Keep | None]:
    """What writes the leaves of blocks, one after another, to the file; it appears when it is whole."""
    if path is None:
        yield None
        return
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with part.open("wb") as out:
            yield lambda cut: out.writelines(_ENTRY.pack(*entry) for entry in zip(cut.offsets, cut.leaves, strict=True))
        part.replace(path)
    except OSError as error:
        raise Unreadable(f"{path}: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)


def kept(checkpoint_file: Path, signed: Signed, position: Position, block: int) -> Cut | None:
    """The block as it was when the checkpoint was made; None when nobody kept it, or it is not what was signed."""
    skipped = 0
    for span in signed.checkpoint.spans:
        if span.position == position:
            skipped += sum(one.records for one in span.blocks[:block])
            first, size = span.first + block * signed.checkpoint.block, span.blocks[block].records
            break
        skipped += sum(one.records for one in span.blocks)
    else:
        return None
    try:
        with checkpoint_file.with_suffix(LEAVES).open("rb") as file:
            file.seek(skipped * _ENTRY.size)
            entries = list(_ENTRY.iter_unpack(file.read(size * _ENTRY.size)))
    except (OSError, struct.error):
        return None
    cut = Cut(first, [offset for offset, _ in entries], [leaf for _, leaf in entries])
    return cut if cut.block == span.blocks[block] else None
