"""Every process knows how far the clock is in the log: from its last reading on, and through a broker's outage."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import pytest
from handsent import topics
from handsent.kafka import EmbeddedKafka
from handsent.part import spawn
from kernel.kafka import producer, when_there
from kernel.testing import NOON, clock, eventually
from projections.app_clock import NEVER, TOPIC, Clock

from schemas.codec import encode
from schemas.topics import TOPICS

SECOND = timedelta(seconds=1)


@pytest.fixture
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    """One whose log is ours alone, and that may be stopped."""
    with EmbeddedKafka(tmp_path_factory.mktemp("a broker to stop")) as broker:
        asyncio.run(_make(broker))
        yield broker


async def _make(broker: EmbeddedKafka) -> None:
    await topics.create(broker.bootstrap, [TOPICS[TOPIC]])
    await when_there(broker.bootstrap, [TOPIC])


@asynccontextmanager
async def running(bootstrap: str) -> AsyncIterator[Clock]:
    heard = Clock(bootstrap)
    task = asyncio.create_task(heard.run())
    yield heard
    assert not task.done(), "it never ends by itself"
    task.cancel()
    with suppress(asyncio.CancelledError):
        await asyncio.wait_for(task, 5)


async def publish(bootstrap: str, *values: bytes) -> None:
    out = producer(bootstrap, "tests")
    await out.start()
    for value in values:
        await out.send_and_wait(TOPIC, value)
    await out.stop()


def reading(seconds: int) -> bytes:
    return encode(clock(NOON + seconds * SECOND, {0: 1}))


async def test_the_clock_is_known_as_it_goes_on_and_through_an_outage(broker: EmbeddedKafka) -> None:
    async with running(broker.bootstrap) as heard:
        assert heard.at is None, "nothing is known yet"
        await eventually(lambda: heard.at == NEVER, "a topic without a reading")
        await publish(broker.bootstrap, reading(1), reading(2))
        await eventually(lambda: heard.at == NOON + 2 * SECOND, "its first readings")
        await publish(broker.bootstrap, reading(1), b"nonsense")
        await publish(broker.bootstrap, reading(3))
        await eventually(lambda: heard.at == NOON + 3 * SECOND, "a reading behind one that nobody can read")

        async with running(broker.bootstrap) as later:
            await eventually(lambda: later.at == NOON + 3 * SECOND, "the last reading, for who starts later")

        assert broker.process is not None
        broker.process.kill()
        broker.process.wait()
        async with running(broker.bootstrap) as meanwhile:
            await asyncio.sleep(0.5)
            assert meanwhile.at is None and heard.at == NOON + 3 * SECOND
            await _start_again(broker)
            await when_there(broker.bootstrap, [TOPIC])
            await eventually(lambda: meanwhile.at == NOON + 3 * SECOND, "what the log has")
            await publish(broker.bootstrap, reading(4))
            for each in (heard, meanwhile):
                await eventually(lambda each=each: each.at == NOON + 4 * SECOND, "a reading after the outage")


async def _start_again(broker: EmbeddedKafka) -> None:
    """From the main thread, which a part's life is tied to."""
    part = broker.part()
    part.prepare()
    broker.process = spawn(part)
    await eventually(part.ready, "the broker answers")
