"""The log searched from its beginning: it has no index but its keys, so that whole partitions are read."""

from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from kernel import database, kafka, quarantine
from kernel.errors import LogLost
from kernel.offsets import Position
from kernel.partitioner import partitions_of
from kernel.verdict import missing

from projections.app import TOPICS
from projections.app_shares import BY_RECIPIENT
from projections.app_span import reader
from projections.store_run import LIVE
from projections.then import Then
from schemas.codec import UndecodableEvent, decode, event_id_of, to_micros

RECORDS = 5000
Spans = dict[Position, tuple[int, int]]
Aside = Collection[tuple[Position, int]]


class Scanned(NamedTuple):
    """A campaign as it was, the offsets that were read up to, and how many records about it could not be read."""

    then: Then
    as_of: dict[str, dict[str, int]]
    unreadable: int


async def campaign_then(
    url: str, bootstrap: str, campaign_id: str, at: datetime, recorded: bool, recipient_id: str | None = None
) -> Scanned:
    """The campaign by `at`, or one recipient of it: what had happened by then, or (`recorded`) what the log held then.

    Reads the partitions of the recipient, or all that tell of recipients; only what names the campaign is decoded. What
    an operator has set aside is left out, as in Progress. Raises LogLost when the log lacks its beginning.
    """
    aside = await _set_aside(url)
    then, before = Then(campaign_id, at), at if recorded else None
    _, counts = await kafka.describe(bootstrap, TOPICS)
    keys = {"campaigns": campaign_id} | ({} if recipient_id is None else dict.fromkeys(BY_RECIPIENT, recipient_id))
    spans = _whole(await _spans(bootstrap, _positions(counts, {*BY_RECIPIENT, "campaigns"}, keys), before))
    unreadable = await _gather(bootstrap, spans, aside, campaign_id, then, recorded)
    if recipient_id in then.rows:
        person_id = then.rows[recipient_id].person_id
        more = _whole(await _spans(bootstrap, _positions(counts, {"opt-outs"}, {"opt-outs": person_id}), before))
        unreadable += await _gather(bootstrap, more, aside, person_id, then, recorded)
        spans |= more
    return Scanned(then, _as_of(spans), unreadable)


async def _set_aside(url: str) -> Aside:
    connection = await database.connect(url, LIVE)
    try:
        return await quarantine.passed_over(connection)
    finally:
        await connection.close()


def _whole(spans: Spans) -> Spans:
    beginnings = {position: first for position, (first, _) in spans.items()}
    if lacking := missing(beginnings, beginnings, beginnings):
        raise LogLost(lacking)
    return spans


async def _gather(bootstrap: str, spans: Spans, aside: Aside, id_: str, then: Then, recorded: bool) -> int:
    """Adds what names the id; how many records that do so cannot be read."""
    needle, unreadable = id_.encode(), 0
    async for position, record in _scan(bootstrap, spans, lambda value: needle in value):
        if (position, record.offset) in aside:
            continue
        try:
            event = decode(record.value)
        except UndecodableEvent:
            unreadable += 1
            continue
        if recorded or event.occurred_at <= then.at:
            then.add(event)
    return unreadable


def _as_of(spans: Spans) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for (topic, partition), (_, end) in sorted(spans.items()):
        found.setdefault(topic, {})[str(partition)] = end
    return found


async def find(bootstrap: str, event_ids: Collection[str]) -> dict[str, tuple[str, int, int]]:
    """Those of these events that the log has, with topic, partition and offset. Reads all of it."""
    if not event_ids:
        return {}
    _, counts = await kafka.describe(bootstrap, TOPICS)
    wanted = {event_id.encode() for event_id in event_ids}
    found: dict[str, tuple[str, int, int]] = {}
    spans = await _spans(bootstrap, _positions(counts, TOPICS, {}))
    async for position, record in _scan(bootstrap, spans, lambda value: value[6:42] in wanted):
        found.setdefault(event_id_of(record.value), (*position, record.offset))
    return found


def _positions(counts: Mapping[str, int], topics: Collection[str], keys: Mapping[str, str]) -> list[Position]:
    """The partitions of these topics; of one whose key is told, that of the key alone."""
    found = []
    for topic in sorted(topics):
        count = counts[topic]
        numbers = partitions_of([keys[topic].encode()], count) if topic in keys else range(count)
        found += [(topic, partition) for partition in numbers]
    return found


async def _spans(bootstrap: str, positions: Iterable[Position], at: datetime | None = None) -> Spans:
    """From the beginning of each partition to its end now; with `at`, to the first record that was written later."""
    partitions = [TopicPartition(*position) for position in positions]
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    await consumer.start()
    try:
        beginnings: Mapping[Any, int] = await consumer.beginning_offsets(partitions)
        ends: dict[Any, int] = dict(await consumer.end_offsets(partitions))
        if at is not None:
            after_ms = max(0, to_micros(at) // 1000 + 1)  # Kafka knows no time before 1970
            later = await consumer.offsets_for_times(dict.fromkeys(partitions, after_ms))
            ends |= {partition: found.offset for partition, found in later.items() if found is not None}
    finally:
        await consumer.stop()
    return {(p.topic, p.partition): (beginnings[p], ends[p]) for p in partitions}


async def _scan(bootstrap: str, spans: Spans, wanted: Callable[[bytes], bool]) -> AsyncIterator[tuple[Position, Any]]:
    until = {position: end for position, (_, end) in spans.items()}
    async with reader(bootstrap, {position: first for position, (first, _) in spans.items()}) as log:
        while records := await log.some(until, RECORDS):
            for position, batch in records.items():
                for record in batch:
                    if record.value is not None and wanted(record.value):
                        yield position, record
