"""A log that was changed on the broker's disk, with checksums that are right: `handsent audit check` says where."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from click.testing import CliRunner
from handsent import topics
from handsent.__main__ import main
from handsent.kafka import EmbeddedKafka
from kernel.kafka import when_there
from kernel.testing import eventually

from schemas.codec import encode
from schemas.topics import TOPICS
from tests.integration.cli.conftest import Handsent
from tests.integration.cli.tampering import Segment, at, edited, offset_of
from tests.unit.projections.life import Life

KEY = "5a" * 32
MANY = 5000  # of them the last 904 are in a second block
FEW = 8
CAMPAIGN = Life("spring").campaign_id


def life(n: int) -> Life:
    return Life("spring", number=f"+1202555{n:04d}", position=n, sealed=True)


async def fill(bootstrap: str) -> None:
    """A record a batch where order is to be changed, so that a batch can be moved."""
    await topics.create(bootstrap, TOPICS.values())
    await when_there(bootstrap, TOPICS)
    out = AIOKafkaProducer(bootstrap_servers=bootstrap)
    await out.start()
    created = Life("spring").created()
    await out.send_and_wait("campaigns", encode(created), partition=0)
    for n in range(MANY):
        await out.send("dispatches", encode(life(n).attempted()), key=life(n).recipient_id.encode(), partition=0)
    for n in range(FEW):
        for partition in range(4):
            await out.send_and_wait("receipts", encode(life(n).delivered()), partition=partition)
        for partition in range(2):
            await out.send_and_wait("releases", encode(life(n).released()), partition=partition)
    await out.stop()


async def make_anew(bootstrap: str, topic: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.delete_topics([topic])

        async def gone() -> bool:
            return topic not in await admin.list_topics()

        await eventually(gone, f"the end of {topic}")
    finally:
        await admin.close()
    await topics.create(bootstrap, [TOPICS[topic]])
    await when_there(bootstrap, [topic])


def tamper(home: Path) -> None:
    """One thing in each partition."""
    dispatches = Segment(home, "dispatches", 0)
    victim = life(4500).recipient_id.encode()
    number = dispatches.holding(encode(life(4500).attempted())[5:])
    place = dispatches.batches[number].index(encode(life(4500).attempted()))
    said = dispatches.batches[number][place:][: len(encode(life(4500).attempted()))]
    assert victim in said
    dispatches.batches[number] = edited(dispatches.batches[number], said, said.replace(b"twilio", b"telnyx"))
    dispatches.write()

    removed = Segment(home, "receipts", 0)
    del removed.batches[3]
    removed.write()

    turned = Segment(home, "receipts", 1)
    one, other = turned.batches[2], turned.batches[5]
    turned.batches[2], turned.batches[5] = at(other, offset_of(one)), at(one, offset_of(other))
    turned.write()

    inserted = Segment(home, "receipts", 2)
    inserted.batches.insert(4, inserted.batches[0])
    inserted.batches = [at(batch, offset) for offset, batch in enumerate(inserted.batches)]
    inserted.write()

    cut = Segment(home, "receipts", 3)
    del cut.batches[6:]
    cut.write()

    torn = Segment(home, "releases", 0)
    torn.batches[3] = torn.batches[3].replace(b"scheduler", b"somebody!")
    torn.write(as_long=True)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("audit-log")


class Changed:
    """A log, what was signed of it, and an export from before it was changed."""

    def __init__(self, home: Path, handsent: Any) -> None:
        self.folder, self.export = home / "checkpoints", home / "spring.zip"
        with EmbeddedKafka(home) as broker:
            asyncio.run(fill(broker.bootstrap))
            handsent(broker, "checkpoint", "--dir", str(self.folder), "--leaves")
            handsent(broker, "export", CAMPAIGN, "-o", str(self.export), "--dir", str(self.folder))
            handsent(broker, "check", str(self.folder / "000001.checkpoint"), str(self.export))
        tamper(home)

    @property
    def checkpoint(self) -> str:
        return str(self.folder / "000001.checkpoint")


@pytest.fixture(scope="module")
def broker(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[EmbeddedKafka, Changed]]:
    def run(broker: EmbeddedKafka, *arguments: str) -> None:
        settings = {"KAFKA_BOOTSTRAP": broker.bootstrap, "AUDIT_KEY": KEY, "HANDSENT_HOME": str(home / "stack")}
        answer = CliRunner().invoke(main, ["audit", *arguments], env=settings)
        assert answer.exit_code == 0, answer.output

    changed = Changed(home, run)
    with EmbeddedKafka(home) as again:
        asyncio.run(make_anew(again.bootstrap, "opt-outs"))
        yield again, changed


@pytest.fixture
def check(handsent: Handsent, broker: tuple[EmbeddedKafka, Changed]) -> Any:
    def run(*files: str, exit_code: int = 1) -> list[str]:
        said = handsent(
            "audit", "check", *files, exit_code=exit_code, AUDIT_KEY=KEY, KAFKA_BOOTSTRAP=broker[0].bootstrap
        )
        return str(said.stdout).splitlines()

    return run


def test_each_change_is_named_with_its_partition_block_and_offset(
    check: Any, broker: tuple[EmbeddedKafka, Changed]
) -> None:
    said = check(broker[1].checkpoint)
    assert said[:-1] == [
        "dispatches-0 offsets 4096 to 4999 (block 1 of checkpoint 1) are not what was signed",
        "  dispatches-0 offset 4500 does not say what it said",
        "the topic opt-outs was made anew: checkpoint 1 is of the one that was before",
        "receipts-0 offsets 0 to 7 (block 0 of checkpoint 1) are not what was signed",
        "  receipts-0 offset 3 is gone",
        "receipts-1 offsets 0 to 7 (block 0 of checkpoint 1) are not what was signed",
        "  receipts-1 offset 2 does not say what it said",
        "  receipts-1 offset 5 does not say what it said",
        "receipts-2 offsets 0 to 7 (block 0 of checkpoint 1) are not what was signed",
        *(f"  receipts-2 offset {offset} does not say what it said" for offset in range(4, 8)),
        "receipts-3 ends at offset 6 now: checkpoint 1 saw it reach 8",
        "receipts-3 offsets 0 to 7 (block 0 of checkpoint 1) are not what was signed",
        "  receipts-3 offset 6 is gone",
        "  receipts-3 offset 7 is gone",
        "releases-0: the records from offset 0 on do not match Kafka's own checksums",
    ]
    assert said[-1].startswith("IT DOES NOT HOLD")


def test_without_the_kept_leaves_partition_and_block_are_named(
    check: Any, broker: tuple[EmbeddedKafka, Changed], tmp_path: Path
) -> None:
    alone = tmp_path / "alone.checkpoint"
    alone.write_bytes(Path(broker[1].checkpoint).read_bytes())
    said = check(str(alone))
    assert "dispatches-0 offsets 4096 to 4999 (block 1 of checkpoint 1) are not what was signed" in said
    assert not any(line.startswith("  ") for line in said)


def test_an_export_from_before_names_the_offsets(check: Any, broker: tuple[EmbeddedKafka, Changed]) -> None:
    said = check(str(broker[1].export))
    assert "dispatches-0@4500 does not say here what it says in the log" in said
    assert "receipts-0@3 is not in the log" in said
    assert "receipts-1@2 does not say here what it says in the log" in said
    assert "receipts-3 ends before offset 8, where the export ended" in said
    assert "the topic opt-outs was made anew since the export" in said


def test_no_checkpoint_follows_on_a_log_that_lacks_what_was_signed(
    handsent: Handsent, broker: tuple[EmbeddedKafka, Changed]
) -> None:
    settings = {"AUDIT_KEY": KEY, "KAFKA_BOOTSTRAP": broker[0].bootstrap}
    after = ("audit", "checkpoint", "--stdout", "--after", broker[1].checkpoint)
    said = handsent(*after, exit_code=1, **settings).stderr
    assert "opt-outs was made anew" in said or "does not reach offset 8 any more" in said
