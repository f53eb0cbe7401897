"""Every process hears of every ended token: from the log's beginning, and on through a broker's outage."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer
from handsent import topics
from handsent.kafka import EmbeddedKafka
from handsent.part import spawn
from kernel.kafka import producer, when_there
from kernel.revocations import TOPIC, Revocations
from kernel.testing import eventually

from schemas.codec import encode, key_of
from schemas.events import TokenRevoked
from schemas.identity import event_id
from schemas.topics import TOPICS


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    """One whose log is ours alone, and that may be stopped."""
    with EmbeddedKafka(tmp_path_factory.mktemp("a broker to stop")) as broker:
        asyncio.run(_make(broker))
        yield broker


async def _make(broker: EmbeddedKafka) -> None:
    await topics.create(broker.bootstrap, [TOPICS[TOPIC]])
    await when_there(broker.bootstrap, [TOPIC])


@pytest.fixture
async def out(broker: EmbeddedKafka) -> AsyncIterator[AIOKafkaProducer]:
    out = producer(broker.bootstrap, "tests")
    await out.start()
    yield out
    await out.stop()


@pytest.fixture
async def revocations(broker: EmbeddedKafka) -> AsyncIterator[Revocations]:
    async with running(broker.bootstrap) as revocations:
        yield revocations


@asynccontextmanager
async def running(bootstrap: str) -> AsyncIterator[Revocations]:
    revocations = Revocations(bootstrap)
    task = asyncio.create_task(revocations.run())
    yield revocations
    assert not task.done(), "it never ends by itself"
    task.cancel()
    with suppress(asyncio.CancelledError):
        await asyncio.wait_for(task, 5)


def ended(life: timedelta = timedelta(days=1)) -> TokenRevoked:
    token_id, now = str(uuid4()), datetime.now(UTC)
    return TokenRevoked(
        event_id=event_id(token_id, "TokenRevoked"), account_id=str(uuid4()), occurred_at=now, actor="tests",
        caused_by=None, token_id=token_id, user_id=str(uuid4()), expires_at=now + life,
    )  # fmt: skip


async def publish(out: AIOKafkaProducer, *events: TokenRevoked) -> None:
    for event in events:
        await out.send_and_wait(TOPIC, encode(event), key_of(event))


async def test_who_starts_later_knows_all_that_was_ended_before(broker: EmbeddedKafka, out: AIOKafkaProducer) -> None:
    before, over = [ended() for _ in range(50)], ended(timedelta(seconds=-1))
    await publish(out, *before, over)
    async with running(broker.bootstrap) as revocations:
        await eventually(lambda: revocations.known)
        assert all(event.token_id in revocations for event in before), "known means all of them"
        assert over.token_id not in revocations


async def test_an_end_is_heard_of_within_a_second_also_after_a_quiet_time(
    revocations: Revocations, out: AIOKafkaProducer
) -> None:
    await eventually(lambda: revocations.known)
    for quiet_s in (0.0, 0.7):
        await asyncio.sleep(quiet_s)
        event = ended()
        await publish(out, event)
        await eventually(lambda event=event: event.token_id in revocations, "the end of a token", 1)


async def test_bytes_that_are_no_event_stop_nothing(revocations: Revocations, out: AIOKafkaProducer) -> None:
    await eventually(lambda: revocations.known)
    event = ended()
    for partition in range(TOPICS[TOPIC].partitions_local):
        await out.send_and_wait(TOPIC, b"nonsense", partition=partition)
    await publish(out, event)
    await eventually(lambda: event.token_id in revocations)


async def test_a_broker_s_outage_is_outlived_and_what_came_after_is_heard(
    broker: EmbeddedKafka, revocations: Revocations
) -> None:
    await eventually(lambda: revocations.known)
    assert broker.process is not None
    broker.process.kill()
    broker.process.wait()
    async with running(broker.bootstrap) as other:
        await asyncio.sleep(0.5)
        assert not other.known, "one that starts meanwhile lets nobody in"
        await _start_again(broker)
        await when_there(broker.bootstrap, [TOPIC])
        out, event = producer(broker.bootstrap, "tests"), ended()
        await out.start()
        await publish(out, event)
        await out.stop()
        await eventually(lambda: event.token_id in revocations, "the end of a token after the outage")
        await eventually(lambda: other.known and event.token_id in other)


async def _start_again(broker: EmbeddedKafka) -> None:
    """From the main thread, which a part's life is tied to."""
    part = broker.part()
    part.prepare()
    broker.process = spawn(part)
    await eventually(part.ready, "the broker answers")
