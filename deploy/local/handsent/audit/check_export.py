"""Holds an export against itself: sums, signatures, what the bytes say, the figures once more, and the proofs."""

import json
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from handsent.audit import manifest, proofs, telling
from handsent.audit.archive import SIGNATURE, Archive, Damaged
from handsent.audit.checkpoint import BadCheckpoint, Checkpoint, Signed, chain, is_signed, read
from handsent.audit.desk import TOPICS, Desk
from handsent.audit.findings import Findings
from handsent.audit.fold import Counted
from handsent.audit.framing import BadLine, Position, Record, from_line
from handsent.audit.log import Unreadable
from handsent.audit.make_export import FORMAT, HERE, as_of, offsets, plain, recipients, seen
from schemas.codec import SCHEMA_IDS, encode, published_schema
from schemas.topics import TOPIC_OF

PAGE = 500
# What a line that is no event, or tells another than its record, may raise.
NO_EVENT = (ValueError, TypeError, KeyError, AttributeError, OverflowError, struct.error)


@dataclass(frozen=True)
class About:
    """What `export.json` says."""

    said: dict[str, Any]
    campaign_id: str
    cluster: str
    pii: bool
    ends: dict[Position, int]


@dataclass
class Checked:
    """How far the records could be checked."""

    records: int = 0
    withheld: int = 0
    unreadable: int = 0  # withheld, and said to be undecodable
    opened: int = 0  # sealed, and told open
    proven: int = 0
    unproven: int = 0  # where a checkpoint inside was signed
    later: int = 0  # behind all of them
    unused: list[Signed] = field(default_factory=list)  # were given, are not inside, and would prove some of these


def about(archive: Archive) -> About:
    """Raises Unreadable for what is no export of this version."""
    try:
        said = json.loads(archive.read("export.json"))
        if said["handsent_export"] != FORMAT:
            raise ValueError("another version of Handsent made it")
        if set(said["topics"]) != set(TOPICS) or not all(str(one["id"]) for one in said["topics"].values()):
            raise ValueError("it is not of all topics")
        return About(said, str(said["campaign_id"]), str(said["cluster"]), bool(said["pii"]), as_of(said))
    except (Damaged, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise Unreadable(f"it is no export: {error}") from None


def check_sums(archive: Archive, findings: Findings) -> None:
    """That every file is what MANIFEST says, and none is there beside them."""
    found, broken = archive.sums()
    findings.extend("damaged files", broken)
    try:
        listed = manifest.parse(archive.read(manifest.NAME).decode(errors="replace"))
    except (Damaged, manifest.BadManifest) as error:
        findings.add("sums", str(error))
        return
    whole = {name: found.get(name, "damaged") for name in archive.names - {manifest.NAME, SIGNATURE}}
    findings.extend("sums", manifest.compare(listed, whole))


def check_signature(archive: Archive, keys: Sequence[Ed25519PublicKey], findings: Findings) -> bool | None:
    """Whether one of the keys signed MANIFEST; None when it is not signed, or there is no key."""
    if SIGNATURE not in archive.names or not keys:
        return None
    try:
        signature, said = archive.read(SIGNATURE), archive.read(manifest.NAME)
    except Damaged as error:
        findings.add("signatures", str(error))
        return False
    holds = any(is_signed(key, signature, said) for key in keys)
    if not holds:
        findings.add("signatures", f"{manifest.NAME} is not signed with this key")
    return holds


def checkpoints(archive: Archive, findings: Findings) -> list[Signed]:
    """The checkpoints in the archive, in their order."""
    found = []
    for name in sorted(archive.names):
        if name.startswith("checkpoints/"):
            try:
                found.append(read(archive.read(name)))
            except (BadCheckpoint, Damaged) as error:
                findings.add("checkpoints", f"{name}: {error}")
    ordered, wrong = chain(found)
    findings.extend("checkpoints", wrong)
    if ordered and ordered[0].checkpoint.number > 1:
        findings.add("checkpoints", f"the checkpoints in the export begin with {ordered[0].checkpoint.number}")
    return ordered


def check_schemas(archive: Archive, findings: Findings) -> None:
    """That the schemas are those that the bytes are decoded with. Later versions of Handsent may have more of them."""
    try:
        ids: dict[str, Any] = json.loads(archive.read("schemas/ids.json"))
        for name, number in ids.items():
            path = f"schemas/{name}.avsc"
            ours = published_schema(name) if SCHEMA_IDS.get(name) == number else None
            if _wordless(json.loads(archive.read(path))) != _wordless(ours):
                findings.add("schemas", f"{path} is not the schema that number {number} stands for")
    except (Damaged, ValueError, AttributeError, RecursionError) as error:
        findings.add("schemas", f"schemas: {error}")


def _wordless(schema: Any) -> Any:
    """What decides how bytes are read: words may be put better later."""
    if isinstance(schema, dict):
        return {key: _wordless(value) for key, value in schema.items() if key != "doc"}
    return [_wordless(one) for one in schema] if isinstance(schema, list) else schema


def is_ours(archive: Archive, name: str) -> bool:
    """Whether a file of words or code is the one that this version puts in."""
    try:
        return archive.read(name) == (HERE / name).read_bytes()
    except Damaged:
        return False


def check_records(
    archive: Archive, told: About, signed: Sequence[Signed], others: Sequence[Signed], desk: Desk, findings: Findings
) -> Checked:
    """That the lines say what the bytes say, and that the bytes are proven; puts the records on the desk. `signed` are
    the checkpoints inside, `others` those that were given and are not."""
    checked, reaching = Checked(), proofs.Reaching(others)
    foreign = dict.fromkeys(one.name for one in (*signed, *others) if _is_foreign(one.checkpoint, told))
    findings.extend("checkpoints", (f"{name} is not of the cluster and topics of this export" for name in foreign))
    try:
        proven = proofs.Proven(signed, told.ends, _proofs(archive, findings), lambda line: findings.add("proofs", line))
        for page in _pages(archive, told, findings):
            for record, _ in page:
                if not proven.add(record):
                    reaching.add(record)
            said = [_said(record, line, told.pii, checked, findings) for record, line in page]
            for record in said:
                if not desk.wants(record.topic, record.value):
                    findings.add("other records", f"{record.place} is not of this campaign")
            desk.put(said)
            checked.records += len(page)
        proven.finish()
        checked.proven, checked.unproven, checked.later = proven.proven, proven.unproven, proven.later
        checked.unused = reaching.found
    except Damaged as error:
        findings.add("damaged files", str(error))
    return checked


def _is_foreign(checkpoint: Checkpoint, told: About) -> bool:
    ids = {topic: said["id"] for topic, said in told.said["topics"].items()}
    return checkpoint.cluster != told.cluster or any(
        ids.get(span.topic, span.topic_id) != span.topic_id for span in checkpoint.spans
    )


def was_there(checkpoint: Checkpoint, told: About) -> bool:
    """Whether the export was made after the checkpoint for sure: it reached further somewhere, and nowhere less far."""
    ends = [(span.end, told.ends[span.position]) for span in checkpoint.spans if span.position in told.ends]
    return all(theirs <= ours for theirs, ours in ends) and any(theirs < ours for theirs, ours in ends)


def _proofs(archive: Archive, findings: Findings) -> Iterator[proofs.Proof]:
    if "proofs.jsonl" in archive.names:
        for number, line in enumerate(archive.lines("proofs.jsonl"), 1):
            try:
                yield proofs.from_line(line)
            except BadLine as error:
                findings.add("bad lines", f"proofs.jsonl line {number} {error}")


def records(archive: Archive, ends: dict[Position, int], findings: Findings) -> Iterator[Record | None]:
    """The records in the order of the log; None for a line that is none, which is said."""
    before = (-1, -1, -1)
    for number, line in enumerate(archive.lines("records.jsonl"), 1):
        try:
            record = from_line(line)
            if record.position not in ends or record.offset >= ends[record.position]:
                raise BadLine("lies outside of what was read")
            if rank(record) <= before:
                raise BadLine("is not in the order of the log")
        except BadLine as error:
            findings.add("bad lines", f"records.jsonl line {number} {error}")
            yield None
        else:
            before = rank(record)
            yield record


def rank(record: Record) -> tuple[int, int, int]:
    """Where the record stands in the order of an export."""
    return TOPICS.index(record.topic), record.partition, record.offset


def with_lines(archive: Archive, told: About, findings: Findings) -> Iterator[tuple[Record, bytes]]:
    """The records, each with its line in `events.jsonl`."""
    both = zip_longest(records(archive, told.ends, findings), archive.lines("events.jsonl"), fillvalue=False)
    for record, line in both:
        if record is False or line is False:
            findings.add("bad lines", "records.jsonl and events.jsonl have not as many lines")
            break
        if isinstance(record, Record) and isinstance(line, bytes):
            yield record, line


def _pages(archive: Archive, told: About, findings: Findings) -> Iterator[list[tuple[Record, bytes]]]:
    """A page is of one topic, for whose opt-outs count follows from the topics before."""
    page: list[tuple[Record, bytes]] = []
    for record, line in with_lines(archive, told, findings):
        if page and (len(page) == PAGE or record.topic != page[0][0].topic):
            yield page
            page = []
        page.append((record, line))
    yield page


def _said(record: Record, line: bytes, pii: bool, checked: Checked, findings: Findings) -> Record:
    """The record with a value to count; that of a withheld one is made of its line."""
    try:
        if record.withheld is not None:
            checked.withheld += 1
            record = record._replace(value=_withheld(record, line, pii))
            checked.unreadable += record.value is None
        checked.opened += not telling.compare(line, seen(record), pii)
    except NO_EVENT as error:
        findings.add("events", f"{record.place}: its line in events.jsonl {why(error)}")
    return record


def why(error: Exception) -> str:
    """What is wrong with a line that raised one of NO_EVENT."""
    return str(error) if isinstance(error, BadLine) else "is no event"


def _withheld(record: Record, line: bytes, pii: bool) -> bytes | None:
    """The value that a withheld record's line tells. Raises BadLine for an event that no export withholds: its own
    bytes, which could not be forged, would have been shown."""
    event = telling.untold(orjson.loads(line))
    value = None if event is None else encode(event)
    fits = event is None or TOPIC_OF[type(event)].name == record.topic
    if pii or not fits or telling.closed(seen(record._replace(value=value))):
        raise BadLine("tells an event that is never withheld, and its record is")
    return value


def check_figures(archive: Archive, told: About, desk: Desk, findings: Findings) -> dict[str, Any] | None:
    """Counts once more; returns the figures that the events give."""
    counted = Counted(told.campaign_id)
    try:
        lines = zip_longest(archive.lines("recipients.jsonl"), recipients(desk, counted))
        for number, (theirs, ours) in enumerate(lines, 1):
            if theirs != ours:
                findings.add("recipients", f"recipients.jsonl line {number} is not what the events say")
        figures: dict[str, Any] = plain(counted.figures(desk.of_campaign(), offsets(told.said)))
        said = json.loads(archive.read("figures.json"))
    except (Damaged, ValueError, RecursionError) as error:
        findings.add("figures", f"figures.json: {error}")
        return None
    if said != figures:
        differing = [name for name in figures if not isinstance(said, dict) or said.get(name) != figures[name]]
        for name in differing or ["something"]:
            findings.add("figures", f"figures.json: {name} is not what the events say")
    return figures
