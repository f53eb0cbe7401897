"""Spools: bytes come back as they went in, from anywhere; nobody else reads them; together they keep to their bound."""

import asyncio
import random
import re
from pathlib import Path

import pytest
from projections import store_spool
from projections.store_spool import Broken, Spool, Spools

SECRET = b"+12025550123,Ada,Byron\n"


async def all_of(spool: Spool, first: int = 0, end: int | None = None) -> bytes:
    return b"".join([piece async for piece in spool.read(first, end)])


async def test_any_part_is_what_was_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_spool, "PIECE", 100)
    spool, chance, written = Spools(10**6).new(), random.Random(1), b""
    for _ in range(50):
        piece = chance.randbytes(chance.randrange(200))
        spool.append(piece)
        written += piece
    spool.end()
    assert await spool.whole() == len(written) and await all_of(spool) == written
    for _ in range(100):
        first, end = sorted(chance.sample(range(len(written)), 2))
        assert await all_of(spool, first, end) == written[first:end]


async def test_readers_follow_what_is_being_written() -> None:
    spool = Spools(10**6).new()
    readers = [asyncio.create_task(all_of(spool)) for _ in range(3)]
    for n in range(20):
        spool.append(b"%d\n" % n)
        await asyncio.sleep(0)
    spool.end()
    assert set(await asyncio.gather(*readers)) == {b"".join(b"%d\n" % n for n in range(20))}


async def test_what_breaks_off_breaks_its_readers_off() -> None:
    spool = Spools(10**6).new()
    spool.append(b"half")
    reader, whole = asyncio.create_task(all_of(spool)), asyncio.create_task(spool.whole())
    await asyncio.sleep(0)
    spool.end(broken=True)
    for task in (reader, whole):
        with pytest.raises(Broken):
            await task


async def test_on_disk_there_is_no_name_and_nothing_to_read() -> None:
    spool = Spools(10**6).new()
    spool.append(SECRET * 1000)
    name, content = on_disk(spool)
    assert re.search(r"\(deleted\)|#\d+", name)
    assert len(content) == spool.size and SECRET not in content


def on_disk(spool: Spool) -> tuple[str, bytes]:
    file = Path(f"/proc/self/fd/{spool._file.fileno()}")
    return str(file.readlink()), file.read_bytes()


async def test_the_oldest_that_nobody_reads_makes_room() -> None:
    spools = Spools(1000)
    read, idle, newer = (spools.new() for _ in range(3))
    for spool in (read, idle, newer):
        spool.append(b"x" * 300)
        spool.end()
    reader = read.read()
    await anext(reader)
    making = spools.new()
    making.append(b"y" * 300)
    assert await all_of(newer) == b"x" * 300 and spools.size() <= 1000
    with pytest.raises(Broken):
        await all_of(idle)
    making.append(b"y" * 300)
    with pytest.raises(Broken):
        await all_of(newer)
    with pytest.raises(Broken, match="no room"):
        making.append(b"y" * 300)


async def test_what_was_not_read_for_a_while_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_spool, "KEPT_S", 0.05)
    spools = Spools(1000)
    spool = spools.new()
    spool.append(b"x")
    spool.end()
    async with asyncio.timeout(5):
        await spools.keep(spool)
    assert spools.size() == 0
    with pytest.raises(Broken):
        await spool.whole()
