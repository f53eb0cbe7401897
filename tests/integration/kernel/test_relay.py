"""The relay on a real Postgres and a real Kafka: what is committed reaches the log, in order, whoever dies."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from handsent import topics
from handsent.kafka import EmbeddedKafka
from handsent.part import spawn
from kernel import database
from kernel.database import Pool
from kernel.kafka import Watcher, producer, when_there
from kernel.outbox import Outbox
from kernel.relay import ROWS_PER_ROUND, Leader, Relay
from kernel.testing import clock, created, eventually, processed

from schemas.codec import decode
from schemas.events import CampaignCreated, Event
from schemas.identity import HANDSENT, uuid5
from schemas.topics import TOPICS
from tests.integration.kernel.ledger import SCHEMA, in_outbox

Ends = dict[tuple[str, int], int]


class Log:
    """What a test adds to the log: it reads from the ends it saw first."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self.bootstrap = bootstrap
        self.positions = [(topic, partition) for partition in range(TOPICS[topic].partitions_local)]

    async def ends(self) -> Ends:
        watcher = Watcher(self.bootstrap)
        try:
            return await watcher.ends(self.positions)
        finally:
            await watcher.stop()

    async def since(self, first: Ends) -> list[object]:
        """The records from `first` to now, partition after partition."""
        last = await self.ends()
        consumer = AIOKafkaConsumer(bootstrap_servers=self.bootstrap, enable_auto_commit=False)
        await consumer.start()
        try:
            found: list[object] = []
            for position in self.positions:
                partition = TopicPartition(*position)
                consumer.assign([partition])
                consumer.seek(partition, first[position])
                while await consumer.position(partition) < last[position]:
                    found += (await consumer.getmany(partition, timeout_ms=1000)).get(partition, [])
            return found
        finally:
            await consumer.stop()


async def put(pool: Pool, *events: Event) -> None:
    """One row of the outbox."""
    async with pool.acquire() as connection, connection.transaction():
        outbox = Outbox()
        outbox.extend(events)
        await outbox.write(connection)


@asynccontextmanager
async def running(database_url: str, bootstrap: str, **others: object) -> AsyncIterator[Relay]:
    """A relay at work; what breaks it breaks the test."""
    relay = Relay(database_url, SCHEMA, bootstrap, asyncio.Event(), **others)  # type: ignore[arg-type]
    task = asyncio.create_task(relay.run())
    try:
        yield relay
        if task.done():
            task.result()
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def all_gone(pool: Pool) -> None:
    await eventually(lambda: _empty(pool), "the outbox is empty", 30)


async def _empty(pool: Pool) -> bool:
    return not await in_outbox(pool)


def numbers_of(found: list[object]) -> list[str]:
    return [decode(record.value).number for record in found]  # type: ignore[attr-defined, union-attr]


async def test_events_arrive_in_order_within_their_key_and_leave_the_outbox(
    pool: Pool, database_url: str, kafka: str
) -> None:
    log = Log(kafka, "campaigns")
    campaigns = [uuid5(HANDSENT, f"{database_url}:{n}") for n in range(7)]
    events: list[Event] = [created(campaigns[n % 7]) for n in range(300)]
    ordered = [_named(event, str(n)) for n, event in enumerate(events)]
    first = await log.ends()
    for start in range(0, 300, 10):
        await put(pool, *ordered[start : start + 10])
    async with running(database_url, kafka):
        await all_gone(pool)
    by_key: dict[bytes, list[int]] = defaultdict(list)
    for record in await log.since(first):
        by_key[record.key].append(int(decode(record.value).name))  # type: ignore[attr-defined, union-attr]
    assert by_key == {campaigns[k].encode(): list(range(k, 300, 7)) for k in range(7)}


async def test_a_record_says_what_it_is_and_whose_trace_it_belongs_to(
    pool: Pool, database_url: str, kafka: str
) -> None:
    log, event = Log(kafka, "processed"), processed(1, campaign_id=uuid5(HANDSENT, database_url))
    first = await log.ends()
    await put(pool, event)
    async with running(database_url, kafka):
        await all_gone(pool)
    [record] = await log.since(first)
    trace, span = event.recipient_id.replace("-", ""), event.event_id.replace("-", "")[:16]
    assert record.key == event.recipient_id.encode()  # type: ignore[attr-defined]
    assert record.headers == (  # type: ignore[attr-defined]
        ("event-type", b"RecipientProcessed"),
        ("traceparent", f"00-{trace}-{span}-01".encode()),
    )


async def test_a_record_without_a_key_is_a_trace_of_its_own(pool: Pool, database_url: str, kafka: str) -> None:
    log, event = Log(kafka, "clock"), clock(created().occurred_at, {0: 1})
    first = await log.ends()
    await put(pool, event)
    async with running(database_url, kafka):
        await all_gone(pool)
    [record] = await log.since(first)
    trace = event.event_id.replace("-", "")
    assert record.key is None  # type: ignore[attr-defined]
    assert dict(record.headers)["traceparent"] == f"00-{trace}-{trace[:16]}-01".encode()  # type: ignore[attr-defined]


async def test_events_of_any_size_arrive(pool: Pool, database_url: str, kafka: str) -> None:
    log, campaign = Log(kafka, "campaigns"), uuid5(HANDSENT, database_url)
    sizes = [10, 500_000, 600_000, 20, 700_000, 700_000, 30]
    first = await log.ends()
    await put(pool, *(_named(created(campaign), "x" * size) for size in sizes))
    async with running(database_url, kafka):
        await all_gone(pool)
    assert [len(decode(r.value).name) for r in await log.since(first)] == sizes  # type: ignore[attr-defined, union-attr]


async def test_a_backlog_moves_in_bounded_rounds(pool: Pool, database_url: str, kafka: str) -> None:
    campaign = uuid5(HANDSENT, database_url)
    for n in range(ROWS_PER_ROUND + 50):
        await put(pool, processed(n, campaign_id=campaign))
    for n in range(6):
        await put(pool, _named(created(campaign), f"{n}" * 800_000))
    connection, kafka_producer = await database.connect(database_url, SCHEMA), producer(kafka, "tests")
    await kafka_producer.start()
    leader, rounds = Leader(connection, kafka_producer), []
    while moved := await leader.move():
        rounds.append(moved)
    await kafka_producer.stop()
    await connection.close()
    assert rounds == [ROWS_PER_ROUND, 50 + 3, 3], "by number, then by size"


async def test_one_topic_can_be_moved_before_the_others(pool: Pool, database_url: str, kafka: str) -> None:
    await put(pool, processed(1), created())
    connection, kafka_producer = await database.connect(database_url, SCHEMA), producer(kafka, "tests")
    await kafka_producer.start()
    assert await Leader(connection, kafka_producer).move("campaigns") == 1
    assert [row["topic"] for row in await pool.fetch("SELECT topic FROM outbox")] == ["processed"]
    await kafka_producer.stop()
    await connection.close()


async def test_nothing_leaves_the_outbox_before_kafka_has_it(
    pool: Pool, database_url: str, kafka: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object) -> None:
        raise ConnectionError("not acknowledged")

    await put(pool, processed(1))
    with monkeypatch.context() as patch:
        patch.setattr(Leader, "_acknowledged", refuse)
        async with running(database_url, kafka) as relay:
            await eventually(lambda: relay.leading)
            await eventually(lambda: not relay.leading, "it stood down")
            assert await in_outbox(pool) == 1
    async with running(database_url, kafka):
        await all_gone(pool)


async def test_one_relay_leads_and_the_other_takes_over_when_the_leaders_session_ends(
    pool: Pool, database_url: str, kafka: str
) -> None:
    log, campaign = Log(kafka, "processed"), uuid5(HANDSENT, database_url)
    first = await log.ends()
    operator = await asyncpg.connect(database_url)
    async with running(database_url, kafka) as one, running(database_url, kafka) as other:
        await eventually(lambda: one.leading or other.leading)
        for n in range(40):
            await put(pool, processed(n, campaign_id=campaign))
            assert not (one.leading and other.leading)
            if n == 20:
                leader = one if one.leading else other
                assert await _end_sessions_of_leaders(operator) == 1
        await all_gone(pool)
        await eventually(lambda: one.leading or other.leading)
        assert leader is not None
    await operator.close()
    found = numbers_of(await log.since(first))
    assert sorted(set(found)) == [processed(n).number for n in range(40)]


async def test_a_deposed_leader_deletes_nothing(pool: Pool, database_url: str, kafka: str) -> None:
    connection, kafka_producer = await database.connect(database_url, SCHEMA), producer(kafka, "tests")
    await kafka_producer.start()
    deposed = Leader(connection, kafka_producer)
    await put(pool, processed(1))
    acknowledged = deposed._acknowledged

    async def while_the_session_ends(acknowledgements: list[Any]) -> None:
        await acknowledged(acknowledgements)
        operator = await asyncpg.connect(database_url)
        await operator.execute("SELECT pg_terminate_backend($1)", connection.get_server_pid())
        await operator.close()

    deposed._acknowledged = while_the_session_ends  # type: ignore[method-assign]
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, ConnectionError)):
        await deposed.move()
    assert await in_outbox(pool) == 1, "the next leader finds it"
    await kafka_producer.stop()


async def test_a_relay_that_stands_frozen_loses_its_session(
    pool: Pool, database_url: str, kafka: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kernel.relay.FROZEN_AFTER", "300ms")
    thaw = asyncio.Event()

    async def freeze(_: Leader) -> None:
        await thaw.wait()

    async with running(database_url, kafka, on_round=freeze) as frozen:
        await eventually(lambda: frozen.leading)
        monkeypatch.setattr("kernel.relay.FROZEN_AFTER", "5s")
        async with running(database_url, kafka) as heir:
            await eventually(lambda: heir.leading, "the other leads")
            await put(pool, processed(1))
            await all_gone(pool)
            thaw.set()
            await eventually(lambda: not frozen.leading, "the frozen one notices")
            assert heir.leading


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    """A broker to kill."""
    with EmbeddedKafka(tmp_path_factory.mktemp("a broker to kill")) as broker:
        asyncio.run(topics.create(broker.bootstrap, [TOPICS["processed"]]))
        asyncio.run(when_there(broker.bootstrap, ["processed"]))  # type: ignore[arg-type]
        yield broker


async def test_nothing_is_lost_while_kafka_is_away(pool: Pool, database_url: str, broker: EmbeddedKafka) -> None:
    log = Log(broker.bootstrap, "processed")
    first = await log.ends()
    async with running(database_url, broker.bootstrap) as relay:
        await eventually(lambda: relay.leading)
        for n in range(0, 600, 2):
            await put(pool, processed(n), processed(n + 1))
            if n == 100:
                assert broker.process is not None
                broker.process.kill()
                broker.process.wait()
        assert await in_outbox(pool) > 0
        await _start_again(broker)
        await all_gone(pool)
    found = numbers_of(await log.since(first))
    assert sorted(set(found)) == [processed(n).number for n in range(600)]


async def _start_again(broker: EmbeddedKafka) -> None:
    """From the main thread, which a part's life is tied to, and without holding the relay up."""
    part = broker.part()
    part.prepare()
    broker.process = spawn(part)
    await eventually(part.ready, "the broker answers")


def _named(event: Event, name: str) -> CampaignCreated:
    assert isinstance(event, CampaignCreated)
    return CampaignCreated(**{f: getattr(event, f) for f in event.__slots__} | {"name": name})


async def _end_sessions_of_leaders(operator: asyncpg.Connection) -> int:
    """Ends the sessions that hold an advisory lock in this database."""
    rows = await operator.fetch(
        """SELECT pg_terminate_backend(pid) FROM pg_locks
            WHERE locktype = 'advisory' AND granted
              AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""
    )
    return len(rows)


async def test_a_relay_that_does_not_lead_wakes_the_one_that_does(pool: Pool, database_url: str, kafka: str) -> None:
    wakes = [asyncio.Event(), asyncio.Event()]
    # Neither would look by itself before this test has given up.
    relays = [Relay(database_url, SCHEMA, kafka, wake, poll_s=3600) for wake in wakes]
    tasks = [asyncio.create_task(relay.run()) for relay in relays]
    try:
        await eventually(lambda: any(relay.leading for relay in relays), "one leads")
        await put(pool, created(uuid5(HANDSENT, database_url)))
        next(wake for relay, wake in zip(relays, wakes, strict=True) if not relay.leading).set()
        await all_gone(pool)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
