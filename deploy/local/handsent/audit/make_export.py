"""Makes an export: reads the campaign's records from the log onto the desk, and writes the archive from there."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import orjson
from kernel.vault import Vault

from handsent import log_view
from handsent.audit import campaign_log, log, shelf, telling
from handsent.audit.archive import Writer
from handsent.audit.checkpoint import Signed
from handsent.audit.desk import OF_CAMPAIGN, PAGE, TOPICS, Desk
from handsent.audit.fold import Counted, rows
from handsent.audit.framing import Position, Record, as_line
from handsent.audit.proofs import Proof
from handsent.log_view import Seen
from handsent.opening import opened
from schemas.codec import ROOT, SCHEMA_IDS, published_schema

FORMAT = 1
HERE = Path(__file__).parent


@dataclass
class Export:
    """What was read, and what came of it."""

    about: dict[str, Any]
    records: int = 0
    undecodable: int = 0
    wrong: list[str] = field(default_factory=list)


def as_of(about: Mapping[str, Any]) -> dict[Position, int]:
    """Where an export ended, from its `export.json`. Raises KeyError, TypeError, ValueError."""
    return {
        (str(topic), int(partition)): int(offsets[1])
        for topic, said in about["topics"].items()
        for partition, offsets in said["partitions"].items()
    }


async def read(
    bootstrap: str, desk: Desk, until: Mapping[Position, int] | None, chain: Sequence[Signed], proofs: IO[bytes]
) -> Export:
    """Puts the campaign on the desk, and the proofs into their file. Raises Unreadable for one that is not there."""
    cluster = await log.cluster(bootstrap, TOPICS)
    wanted = campaign_log.spans(cluster, until)
    if short := [p for p, end in (until or {}).items() if wanted.get(p, (0, 0))[1] < end]:
        raise log.Unreadable(f"the log does not reach as far as it should in {short[0][0]}-{short[0][1]}")
    export = Export(_about(desk.campaign_id, cluster, wanted))

    def prove(found: Proof | str) -> None:
        if isinstance(found, str):
            export.wrong.append(found)
        else:
            proofs.write(found.line().encode())

    ours = [signed for signed in chain if signed.checkpoint.cluster == cluster.id]
    async with log.reader(bootstrap) as reader:
        first, rest = (
            {p: s for p, s in wanted.items() if (p[0] == OF_CAMPAIGN) is is_first} for is_first in (True, False)
        )
        for part in (first, rest):
            async for found in campaign_log.records(reader, desk, part, ours, prove):
                desk.put(found)
                export.records += len(found)
            if next(desk.of_campaign(), None) is None:
                raise log.Unreadable(f"there is no campaign {desk.campaign_id} in the log")
    return export


def _about(campaign_id: str, cluster: log.Cluster, wanted: campaign_log.Spans) -> dict[str, Any]:
    topics: dict[str, Any] = {topic: {"id": cluster.topic_ids[topic], "partitions": {}} for topic in TOPICS}
    for (topic, partition), (first, end) in wanted.items():
        topics[topic]["partitions"][str(partition)] = [first, end]
    return {"handsent_export": FORMAT, "campaign_id": campaign_id, "cluster": cluster.id, "topics": topics}


async def write(
    out: Writer, desk: Desk, export: Export, chain: Sequence[Signed], proofs: IO[bytes], vault: Vault | None
) -> dict[str, Any]:
    """Writes all but the sums; returns the figures."""
    out.put("README.txt", (HERE / "README.txt").read_bytes())
    out.put("count.py", (HERE / "count.py").read_bytes())
    for name, said in schemas():
        out.put(name, said)
    out.put("export.json", _json({**export.about, "pii": vault is not None, "records": export.records}))
    with out.file("events.jsonl") as append:
        for number, page in enumerate(desk.records()):
            lines = [seen(record) for record in page]
            export.undecodable += sum(one.event is None for one in lines)
            if vault is not None:
                lines = await opened(vault, lines)
            else:
                both = enumerate(zip(page, lines, strict=True), number * PAGE)
                desk.withhold((at, record) for at, (record, one) in both if not telling.closed(one))
            append(b"".join(telling.as_line(telling.told(one, vault is not None)) for one in lines))
    with out.file("records.jsonl") as append:
        for page in desk.records():
            append(b"".join(map(as_line, page)))
    counted = Counted(desk.campaign_id)
    with out.file("recipients.jsonl") as append:
        for line in recipients(desk, counted):
            append(line)
    figures = counted.figures(desk.of_campaign(), offsets(export.about))
    out.put("figures.json", _json(figures))
    _put_checkpoints(out, export, chain, proofs)
    return figures


def _put_checkpoints(out: Writer, export: Export, chain: Sequence[Signed], proofs: IO[bytes]) -> None:
    ours = [signed for signed in chain if signed.checkpoint.cluster == export.about["cluster"]]
    if not ours:
        return
    for signed in ours:
        out.put(f"checkpoints/{shelf.name_of(signed.checkpoint.number)}", signed.data)
    proofs.seek(0)
    with out.file("proofs.jsonl") as append:
        while chunk := proofs.read(1 << 20):
            append(chunk)


def schemas() -> Iterator[tuple[str, bytes]]:
    """Every schema there is, by the name that ids.json gives it."""
    yield "schemas/ids.json", (ROOT / "ids.json").read_bytes()
    for name in SCHEMA_IDS:
        yield f"schemas/{name}.avsc", _json(published_schema(name))


def recipients(desk: Desk, counted: Counted) -> Iterator[bytes]:
    """The lines of recipients.jsonl; they are counted as they are taken."""
    return map(telling.as_line, counted.through(rows(desk.recipients())))


def offsets(about: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """`as_of` as Progress tells it."""
    return {
        topic: {partition: end for partition, (_, end) in said["partitions"].items()}
        for topic, said in about["topics"].items()
    }


def seen(record: Record) -> Seen:
    return log_view.seen(record.topic, record.partition, record.offset, record.timestamp, record.key, record.value)


def plain(said: Any) -> Any:
    """As JSON reads it back: times are text."""
    return orjson.loads(orjson.dumps(said, option=orjson.OPT_UTC_Z))


def _json(said: Any) -> bytes:
    return json.dumps(plain(said), indent=1, ensure_ascii=False).encode() + b"\n"
