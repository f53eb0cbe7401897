"""What must be true of the log itself, byte by byte: each SEND has one outcome, and no END comes behind the clock."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from kernel import kafka

from schemas.codec import decode
from schemas.events import CampaignEnded, ClockAdvanced, MessageDropped, MessageReleased, RecipientProcessed

TOPICS = ("campaigns", "processed", "clock", "releases")
POLL_MS = 500


@dataclass(frozen=True)
class Entry:
    """An event where it lies."""

    topic: str
    partition: int
    offset: int
    value: bytes
    event: Any


@dataclass
class Outcomes:
    """What the log says of everyone SENT: each once released or once dropped, in effect."""

    problems: list[str] = field(default_factory=list)
    of: dict[str, str] = field(default_factory=dict)  # recipient -> MessageReleased or MessageDropped
    repeated: int = 0  # events of `releases` that lie there more than once, the same bytes each time

    @property
    def line(self) -> str:
        count = Counter(self.of.values())
        released, dropped = count["MessageReleased"], count["MessageDropped"]
        return f"in the log {released} released, {dropped} dropped, {self.repeated} of them there more than once"


async def read(
    bootstrap: str, topics: Sequence[str] = TOPICS, since: Mapping[tuple[str, int], int] | None = None
) -> list[Entry]:
    """All that lies in the topics, by default those that the scheduler reads and writes; `since` is where to begin."""
    _, counts = await kafka.describe(bootstrap, topics)
    partitions = [TopicPartition(topic, p) for topic, count in counts.items() for p in range(count)]
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, enable_auto_commit=False, isolation_level="read_committed", client_id="chaos"
    )
    await consumer.start()
    try:
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        for partition, first in (await consumer.beginning_offsets(partitions)).items():
            consumer.seek(partition, max(first, (since or {}).get((partition.topic, partition.partition), 0)))
        found: list[Entry] = []
        while [p for p in partitions if await consumer.position(p) < ends[p]]:
            for records in (await consumer.getmany(timeout_ms=POLL_MS)).values():
                found += [Entry(r.topic, r.partition, r.offset, r.value, decode(r.value)) for r in records]
        return found
    finally:
        await consumer.stop()


def outcomes(log: Iterable[Entry], recipients: Collection[str]) -> Outcomes:
    """Of these, each processed one has one event in `releases` in effect, the one that the ENDs in the log ask for."""
    log = list(log)
    told = Outcomes(clock_before_an_end(log))
    ended = {entry.event.campaign_id: entry.event.ended_at for entry in log if isinstance(entry.event, CampaignEnded)}
    theirs = [entry for entry in log if getattr(entry.event, "recipient_id", None) in recipients]
    processed = _by_recipient(theirs, RecipientProcessed)
    released = _by_recipient(theirs, MessageReleased | MessageDropped)
    for recipient_id in processed.keys() | released.keys():
        presses, results = processed[recipient_id], released[recipient_id]
        if len(presses) != 1 or len(results) != 1:
            told.problems.append(f"{recipient_id}: processed in {len(presses)} ways, {len(results)} outcomes")
            continue
        [press], [outcome] = presses.values(), results.values()
        ended_at = ended.get(press.campaign_id)
        if isinstance(outcome, MessageDropped) is not _drops(press, ended_at):
            told.problems.append(f"{recipient_id}: {type(outcome).__name__}, T {press.scheduled_for}, END {ended_at}")
        told.of[recipient_id] = type(outcome).__name__
    repeats = Counter(entry.value for entry in theirs if entry.topic == "releases")
    told.repeated = sum(count > 1 for count in repeats.values())
    return told


def clock_before_an_end(log: Iterable[Entry]) -> list[str]:
    """Readings of the clock that promise an END to lie before offsets at which it did not lie in `campaigns` yet."""
    first: dict[str, Entry] = {}
    for entry in sorted(log, key=lambda e: (e.topic, e.partition, e.offset)):
        if isinstance(entry.event, CampaignEnded):
            first.setdefault(entry.event.event_id, entry)
    ends = sorted(first.values(), key=lambda entry: entry.event.ended_at, reverse=True)
    clocks = [entry.event for entry in log if isinstance(entry.event, ClockAdvanced)]
    needed: dict[int, int] = {}
    problems = []
    for clock in sorted(clocks, key=lambda clock: clock.at):
        while ends and ends[-1].event.ended_at <= clock.at:
            end = ends.pop()
            needed[end.partition] = max(needed.get(end.partition, 0), end.offset + 1)
        if any(clock.campaigns_offsets.get(str(p), 0) < offset for p, offset in needed.items()):
            problems.append(f"the clock reads {clock.at} at {clock.campaigns_offsets}, ENDs before it reach {needed}")
    return problems


def _drops(press: RecipientProcessed, ended_at: datetime | None) -> bool:
    return press.scheduled_for is not None and ended_at is not None and ended_at < press.scheduled_for


def _by_recipient(log: Iterable[Entry], kinds: Any) -> dict[str, dict[bytes, Any]]:
    """Recipient -> the different bytes that tell of them, decoded."""
    found: dict[str, dict[bytes, Any]] = defaultdict(dict)
    for entry in log:
        if isinstance(entry.event, kinds):
            found[entry.event.recipient_id][entry.value] = entry.event
    return found
