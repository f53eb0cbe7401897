"""The clock names the ends of `campaigns`; a broker that has been deposed and does not know it tells old ones."""

from datetime import UTC, datetime

import pytest
from kernel import database
from kernel.kafka import Watcher, producer
from kernel.partitioner import partitions_of
from kernel.relay import Leader
from send_intake.store_clock import CAMPAIGNS, Clock

from schemas.codec import decode
from schemas.events import ClockAdvanced
from schemas.topics import TOPICS
from tests.integration.send_intake.conftest import Intake

PARTITIONS = TOPICS[CAMPAIGNS].partitions_local


class OldEnds(Watcher):
    """Asks a broker that has taken nothing."""

    def __init__(self) -> None:
        pass

    async def ends(self, positions: object) -> dict[tuple[str, int], int]:
        return {(CAMPAIGNS, partition): 0 for partition in range(PARTITIONS)}


@pytest.mark.parametrize("followed", [True, False])
async def test_an_acknowledged_end_lies_before_the_offsets_of_the_clock(
    intake: Intake, database_url: str, kafka: str, followed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without what was acknowledged (the mutation) the reading would not wait for the END it speaks of."""
    campaign = await intake.campaign(0)
    session, sender = await database.connect(database_url, "send_intake"), producer(kafka, "tests")
    await sender.start()
    clock = Clock(kafka, OldEnds(), PARTITIONS, interval_ms=0)
    leader = Leader(session, sender, frozenset({CAMPAIGNS} if followed else ()))
    published: list[bytes] = []
    produce = leader.produce

    async def noted(records: dict[str, list[tuple[bytes | None, bytes]]]) -> None:
        published.extend(value for _, value in records.get("clock", ()))
        await produce(records)

    monkeypatch.setattr(leader, "produce", noted)
    await clock.tick(leader)
    await intake.end(campaign)
    await clock.tick(leader)
    event = decode(published[-1])
    assert isinstance(event, ClockAdvanced) and event.at > datetime(2026, 1, 1, tzinfo=UTC)
    watcher = Watcher(kafka)
    [partition] = partitions_of([campaign.campaign_id.encode()], PARTITIONS)
    ends = await watcher.ends([(CAMPAIGNS, partition)])
    assert (event.campaigns_offsets[str(partition)] == ends[CAMPAIGNS, partition]) is followed
    await watcher.stop()
    await sender.stop()
    await session.close()
