"""What operators see of a scheduler: the clock that stands, and what keeps it; what is held and for when; lateness."""

import asyncio
import urllib.request
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from handsent import topics
from handsent.kafka import EmbeddedKafka
from kernel.testing import clock, created, eventually, processed

from schemas.identity import HANDSENT, uuid5
from schemas.topics import TOPICS
from tests.integration.process import Process
from tests.integration.scheduler.running import Running

HOUR = timedelta(hours=1)
NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    with EmbeddedKafka(tmp_path_factory.mktemp("watch")) as broker:
        asyncio.run(topics.create(broker.bootstrap, TOPICS.values()))
        yield broker


@pytest.fixture
async def running(tmp_path: Path, database_url: str, broker: EmbeddedKafka) -> AsyncIterator[Running]:
    running = Running(tmp_path, database_url, broker.bootstrap)
    yield running
    running.close()


def metric(process: Process, name: str) -> float:
    with urllib.request.urlopen(f"{process.url}/metrics", timeout=10) as answer:
        [line] = [line for line in answer.read().decode().splitlines() if line.startswith(f"{name} ")]
    return float(line.split()[1])


async def test_a_clock_that_stands_raises_an_alarm_and_says_what_keeps_it(running: Running) -> None:
    process = running.start()

    def stuck() -> list[dict[str, Any]]:
        return list(running.status(process)["stuck"])

    assert stuck() == []
    await eventually(stuck, "an alarm", patience_s=10)
    [alarm] = stuck()
    assert alarm["topic"] == "clock" and "send-intake publishes none" in alarm["reason"]
    assert metric(process, "handsent_clock_stopped") == 1
    assert '"event": "clock_stopped"' in process.log()
    ends = await running.ends("campaigns")
    await running.publish(clock(NOW, {**ends, 2: ends[2] + 3}))
    await eventually(lambda: "partition 2 (3 events)" in stuck()[0]["reason"], "what keeps the clock is named")
    about = running.status(process)["clock"]
    assert about["waits_for"] == [{"partition": 2, "events": 3}] and about["stopped"] and about["readings_not_covered"]
    await running.publish(clock(NOW + timedelta(seconds=1), ends))
    await eventually(lambda: not stuck(), "the alarm ends")
    assert metric(process, "handsent_clock_stopped") == 0
    assert '"event": "clock_goes_on"' in process.log()


async def test_what_is_held_is_told_by_the_hour_and_what_left_by_its_lateness(running: Running) -> None:
    process = running.start()
    first = NOW.replace(minute=0, second=0)
    late = first - HOUR
    held = {"a": first + 2 * HOUR, "b": first + 2 * HOUR, "c": first + 30 * HOUR, "late": late}
    for name, t in held.items():
        campaign = uuid5(HANDSENT, f"watched {name}")
        await running.publish(created(campaign, t))
        await running.publish(*(processed(n, late - HOUR, campaign, t) for n in range(3)))
    await running.publish(clock(first, await running.ends("campaigns")))
    await eventually(lambda: running.status(process)["lateness"]["messages"] == 3, "what is due has left")
    await running.until_read(process)
    about = running.status(process)
    assert about["held"] == 9 and about["next_due"].startswith((first + 2 * HOUR).isoformat()[:19])
    ahead = [(row["hour"][:13], row["held"], row["campaigns"]) for row in about["held_ahead"]]
    assert ahead == [((first + 2 * HOUR).isoformat()[:13], 6, 2), ((first + 30 * HOUR).isoformat()[:13], 3, 1)]
    assert about["lateness"]["max_s"] >= 3600
    assert metric(process, "handsent_held_messages") == 9
    assert metric(process, "handsent_release_lateness_seconds_count") == 3
    assert metric(process, "handsent_release_lateness_seconds_sum") > 3 * 3600
