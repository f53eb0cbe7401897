"""Each benchmark measures what it says it measures: a little of it, for no figure is looked at here but its sense."""

from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest

from tests.bench import ending, listening, pages, rebuild, reporting, scheduling, sealing
from tests.bench.message_life import OURS, Bench
from tests.bench.stack import Running, running


@pytest.fixture(scope="module")
def stack() -> Iterator[Running]:
    with running(SIMULATOR_SENT_CALLBACKS="0") as stack:
        yield stack


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as http:
        yield http


async def test_a_message_s_life(stack: Running, http: aiohttp.ClientSession) -> None:
    bench = Bench(stack, http)
    found = await bench.throughput(80)
    assert found.messages == 80 and found.per_s > 0 and set(OURS) <= set(found.cpu_us) and found.lag
    assert len(await bench.latency_ms(20, 1)) == 20


async def test_listening(stack: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "SINGLE", 2)
    monkeypatch.setattr(listening, "BUSY", 20)
    monkeypatch.setattr(listening, "IDLE_S", 0.5)
    found = await listening.measure(stack, 10)
    assert all(len(result.last_ms) == 2 for result in found)
    assert "10 listeners" in listening.lines(found)


async def test_pages(stack: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "PRESSES", 5)
    monkeypatch.setattr(pages, "SEEN", 2)
    found = await pages.measure(stack, 100)
    assert (len(found.enter_ms), len(found.progress_ms)) == (5, 2)
    assert "100 recipients" in pages.lines(found)


async def test_ending(stack: Running, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "ENDS", 2)
    found = await ending.measure(stack, http, held=2000, per_s=50)
    assert len(found.ends_ms) == 3
    assert "2,000" in ending.lines(found)


async def test_rebuilding() -> None:
    found = await rebuild.measure(2000)
    assert found.events == 2000 * 6 + rebuild.LISTS and found.ratio > 0
    assert f"{found.events:,}" in rebuild.lines(found)


async def test_reporting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "PEOPLE", 500)
    monkeypatch.setattr(reporting, "SMALL", 1000)
    found = await reporting.measure(2000)
    assert {kind: made.rows for kind, made in found.large.items()} == {"csv": 2000, "xlsx": 2000}
    assert "2,000" in reporting.lines(found)


async def test_scheduling() -> None:
    found = await scheduling.measure(2000, 5000)
    assert found.messages == 2000 and found.per_s > 0
    assert scheduling.lines(found)


async def test_sealing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "PEOPLE", 2000)
    monkeypatch.setattr(sealing, "REPORTS", 1)
    assert (await sealing.measure()).message_us > 0
