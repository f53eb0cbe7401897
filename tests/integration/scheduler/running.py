"""Scheduler processes on a Postgres and a broker of their own: what they read is produced, what they decide is read."""

import json
import signal
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition
from kernel import kafka
from kernel.kafka import Watcher
from kernel.relay import Leader
from kernel.testing import eventually
from scheduler.app import TOPICS as INPUTS

from schemas.codec import decode, encode, key_of
from schemas.events import Event, MessageDropped, MessageReleased
from schemas.topics import TOPIC_OF, TOPICS
from tests.integration.process import Process, free_port

ENVIRONMENT = {"TOKEN_KEY": "a token key for tests that is long enough", "PERSON_ID_SECRET": "a secret for tests"}
STATE = {
    "ended_campaigns": "SELECT * FROM ended_campaigns ORDER BY campaign_id",
    "held": "SELECT recipient_id, campaign_id, due_at, release FROM held ORDER BY recipient_id",
    "waiting": "SELECT * FROM waiting ORDER BY campaign_id, due_at",
    "watermark": "SELECT at FROM watermark",
}


class Running:
    """Started processes are stopped by `close`."""

    def __init__(self, folder: Path, database_url: str, bootstrap: str) -> None:
        self._folder, self._url, self._bootstrap = folder, database_url, bootstrap
        self._stack = ExitStack()

    def start(self) -> Process:
        process = self.prepare()
        process.start()
        return process

    def prepare(self) -> Process:
        """One that is yet to be started."""
        port = free_port()
        settings = {"DATABASE_URL": self._url, "KAFKA_BOOTSTRAP": self._bootstrap, "SCHEDULER_PORT": str(port)}
        process = Process("scheduler", self._folder, f"http://127.0.0.1:{port}", {**ENVIRONMENT, **settings})
        self._stack.callback(lambda: process.stop(signal.SIGKILL))
        return process

    def close(self) -> None:
        self._stack.close()

    def status(self, process: Process) -> dict[str, Any]:
        with urllib.request.urlopen(f"{process.url}/status", timeout=10) as answer:
            about: dict[str, Any] = json.load(answer)
            return about

    async def until_read(self, process: Process) -> None:
        """All is read, and nothing that could leave is left. Not by the status' lag, which is up to a second old."""
        ends = {(topic, p): end for topic in INPUTS for p, end in (await self.ends(topic)).items() if end}

        async def all_read() -> bool:
            connection = await self.connect()
            rows = await connection.fetch("SELECT * FROM offsets WHERE next_offset > 0")
            await connection.close()
            return {(row["topic"], row["partition"]): row["next_offset"] for row in rows} == ends

        await eventually(all_read, "the scheduler has read everything")
        await eventually(lambda: _idle(self.status(process)), "what could leave has left")

    async def publish(self, *events: Event) -> None:
        producer = kafka.producer(self._bootstrap, "test")
        await producer.start()
        try:
            for event in events:
                records = {TOPIC_OF[type(event)].name: [(key_of(event), encode(event))]}
                await Leader(None, producer).produce(records)  # type: ignore[arg-type]
        finally:
            await producer.stop()

    async def ends(self, topic: str) -> dict[int, int]:
        watcher = Watcher(self._bootstrap)
        try:
            found = await watcher.ends([(topic, p) for p in range(TOPICS[topic].partitions_local)])
            return {partition: end for (_, partition), end in found.items()}
        finally:
            await watcher.stop()

    async def out(self) -> list[MessageReleased | MessageDropped]:
        """Everything that is in `releases`."""
        ends = await self.ends("releases")
        consumer = AIOKafkaConsumer(bootstrap_servers=self._bootstrap, auto_offset_reset="earliest")
        await consumer.start()
        try:
            found = []
            for partition, end in ends.items():
                consumer.assign([at := TopicPartition("releases", partition)])
                consumer.seek(at, 0)
                while await consumer.position(at) < end:
                    found.append(decode((await consumer.getone(at)).value))
            return [event for event in found if isinstance(event, MessageReleased | MessageDropped)]
        finally:
            await consumer.stop()

    async def state(self) -> dict[str, list[dict[str, Any]]]:
        """The derived tables in their canonical order."""
        connection = await self.connect()
        try:
            return {name: [dict(row) for row in await connection.fetch(query)] for name, query in STATE.items()}
        finally:
            await connection.close()

    async def connect(self) -> asyncpg.Connection:
        return await asyncpg.connect(self._url, server_settings={"search_path": "scheduler"})

    async def drop_schema(self) -> None:
        connection = await self.connect()
        await connection.execute("DROP SCHEMA scheduler CASCADE")
        await connection.close()


def _idle(about: dict[str, Any]) -> bool:
    return about["overdue"] == 0 and not about["rebuilding"]
