"""Makes the topics that `schemas.topics` lists; those that exist stay as they are."""

import asyncio
import time
from collections.abc import Iterable

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, for_code

from handsent.part import POLL_S, PartError
from schemas.topics import Topic

MADE, EXISTS = 0, 36
REPLICAS = 3


async def create(bootstrap: str, topics: Iterable[Topic], timeout_s: float = 30.0) -> None:
    """Tries until every topic is there: a broker that has just started may refuse for a moment."""
    deadline = time.monotonic() + timeout_s
    wanted = {topic.name: topic for topic in topics}
    said = "no answer"
    while wanted:
        if time.monotonic() > deadline:
            raise PartError(f"kafka at {bootstrap} does not make the topics {', '.join(sorted(wanted))}: {said}")
        try:
            answers = await _ask(bootstrap, wanted.values())
        except (KafkaError, OSError) as error:
            said = f"{type(error).__name__}: {error}"
        else:
            for name, code in answers.items():
                if code in (MADE, EXISTS):
                    wanted.pop(name)
                else:
                    said = for_code(code).__name__
        if wanted:
            await asyncio.sleep(2 * POLL_S)


async def _ask(bootstrap: str, topics: Iterable[Topic]) -> dict[str, int]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=10_000)
    try:
        await admin.start()
        brokers = len((await admin.describe_cluster())["brokers"])
        answer = await admin.create_topics([_new(topic, min(REPLICAS, brokers)) for topic in topics])
        # aiokafka reports "exists" and every refusal in the answer, never as an exception.
        return {name: code for name, code, *_ in answer.topic_errors}
    finally:
        await admin.close()


def _new(topic: Topic, replicas: int) -> NewTopic:
    configs = {"retention.ms": str(topic.retention_ms), "cleanup.policy": topic.cleanup_policy}
    return NewTopic(topic.name, topic.partitions_local, replicas, topic_configs=configs)
