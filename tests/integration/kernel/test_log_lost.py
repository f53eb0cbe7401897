"""A log that is not the one the offsets belong to: said clearly, before anything is skipped or repeated."""

from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.structs import TopicPartition
from handsent import topics
from kernel import health, offsets
from kernel.database import Pool
from kernel.errors import LogLost
from kernel.kafka import describe
from kernel.testing import eventually

from schemas.topics import TOPICS, Topic
from tests.integration.conftest import NewTopic


@pytest.fixture
async def admin(kafka: str) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    yield admin
    await admin.close()


@pytest.fixture
async def out(kafka: str) -> AsyncIterator[AIOKafkaProducer]:
    out = AIOKafkaProducer(bootstrap_servers=kafka)
    await out.start()
    yield out
    await out.stop()


async def test_a_topic_made_anew_is_another_topic(
    pool: Pool, kafka: str, new_topic: NewTopic, admin: AIOKafkaAdminClient
) -> None:
    topic = await new_topic(2)
    assert (await health.bind_inputs(pool, kafka, [topic])).positions == ((topic, 0), (topic, 1))
    await health.bind_inputs(pool, kafka, [topic])
    await admin.delete_topics([topic])
    await eventually(lambda: _is_gone(kafka, topic), "the topic is deleted")
    await topics.create(kafka, [Topic(topic, "tests", None, (), partitions_local=2)])
    with pytest.raises(LogLost, match=f"topic {topic} was made anew"):
        await health.bind_inputs(pool, kafka, [topic])


async def test_a_log_that_ends_before_what_was_read_is_another_log(pool: Pool, kafka: str, new_topic: NewTopic) -> None:
    topic = await new_topic(1)
    await health.bind_inputs(pool, kafka, [topic])
    await offsets.jump(pool, (topic, 0), 7)
    with pytest.raises(LogLost, match=f"{topic}-0 ends at 0, but 7 was already read"):
        await health.bind_inputs(pool, kafka, [topic])


async def test_what_was_deleted_unread_is_told_where_events_are_kept_for_ever_and_passed_where_they_are_not(
    pool: Pool, kafka: str, new_topic: NewTopic, admin: AIOKafkaAdminClient, out: AIOKafkaProducer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    topic = await new_topic(1)
    await health.bind_inputs(pool, kafka, [topic])
    for _ in range(5):
        await out.send_and_wait(topic, b"an event")
    await admin.delete_records({TopicPartition(topic, 0): RecordsToDelete(before_offset=3)})
    monkeypatch.setitem(TOPICS, topic, Topic(topic, "tests", None, ()))
    with pytest.raises(LogLost, match=f"{topic}-0 begins at 3, 0 is unread"):
        await health.bind_inputs(pool, kafka, [topic])
    monkeypatch.setitem(TOPICS, topic, Topic(topic, "tests", None, (), retention_ms=1000))
    await health.bind_inputs(pool, kafka, [topic])
    assert await offsets.read(pool, [(topic, 0)]) == {(topic, 0): 3}


async def test_a_service_without_its_topics_says_what_to_do(kafka: str) -> None:
    with pytest.raises(LogLost, match=r"no-such-topic cannot be described .* make the topics first"):
        await describe(kafka, ["no-such-topic"])


async def _is_gone(bootstrap: str, topic: str) -> bool:
    try:
        await describe(bootstrap, [topic])
    except LogLost:
        return True
    return False
