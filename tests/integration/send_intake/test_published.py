"""The order of a tick: move every END to the log, then ask how far it reaches, then say so. Otherwise it is untrue."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from kernel import database, kafka
from kernel.relay import Leader
from send_intake.store_clock import Clock

from schemas.topics import TOPICS
from tests.integration.send_intake import published
from tests.integration.send_intake.conftest import Intake

PARTITIONS = TOPICS["campaigns"].partitions_local


class Term:
    """A leader's term, a tick at a time."""

    def __init__(self, bootstrap: str, leader: Leader, watcher: kafka.Watcher) -> None:
        self.bootstrap, self.leader, self.watcher = bootstrap, leader, watcher
        self.clock = Clock(bootstrap, watcher, PARTITIONS, interval_ms=0)

    async def untrue(self, intake: Intake, after: int) -> list[Any]:
        """ENDs a campaign, ticks, lets the relay move what is left: what is untrue then of what was said."""
        await intake.end(await intake.campaign(0))
        await self.clock.tick(self.leader)
        while await Leader(self.leader.connection, self.leader.producer).move():
            pass
        found = await published.read(self.bootstrap, PARTITIONS, after)
        assert len(found.clocks) == 1 and found.ends
        return found.untrue()


@pytest.fixture
async def term(intake: Intake, kafka_bootstrap: str) -> AsyncIterator[Term]:
    connection = await database.connect(intake.database_url, "send_intake")
    producer = kafka.producer(kafka_bootstrap, "tests")
    await producer.start()
    watcher = kafka.Watcher(kafka_bootstrap)
    yield Term(kafka_bootstrap, Leader(connection, producer), watcher)
    await watcher.stop()
    await producer.stop()
    await connection.close()


@pytest.fixture
def kafka_bootstrap(kafka: str) -> str:
    return kafka


@pytest.fixture
async def so_far(kafka_bootstrap: str) -> int:
    return len((await published.read(kafka_bootstrap, PARTITIONS)).clocks)


async def test_every_end_up_to_a_reading_lies_before_its_offsets(intake: Intake, term: Term, so_far: int) -> None:
    assert await term.untrue(intake, so_far) == []


async def test_a_reading_that_does_not_wait_for_the_ends_is_untrue(intake: Intake, term: Term, so_far: int) -> None:
    async def moves_nothing(_topic: str | None = None) -> int:
        return 0

    term.leader.move = moves_nothing  # type: ignore[method-assign]
    assert len(await term.untrue(intake, so_far)) == 1


async def test_a_reading_with_offsets_from_before_the_ends_were_moved_is_untrue(
    intake: Intake, term: Term, so_far: int
) -> None:
    asked = await term.watcher.ends([("campaigns", partition) for partition in range(PARTITIONS)])

    async def as_before(_positions: Any) -> Any:
        return asked

    term.watcher.ends = as_before  # type: ignore[method-assign]
    assert len(await term.untrue(intake, so_far)) == 1
