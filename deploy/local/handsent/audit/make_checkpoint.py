"""Makes a checkpoint: reads the log from where the last one ended, and hashes it."""

from collections.abc import Callable
from datetime import UTC, datetime

import click
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from handsent.audit import log
from handsent.audit.blocks import BLOCK, Block, Cut, Cutter
from handsent.audit.checkpoint import Checkpoint, Signed, Span, following, sign
from handsent.audit.framing import Position, leaf_of
from handsent.audit.log import Cluster, Reader

Keep = Callable[[Cut], None]


async def make(
    bootstrap: str, previous: Signed | None, key: Ed25519PrivateKey, keep: Keep | None = None
) -> tuple[Checkpoint, bytes]:
    """The checkpoint after `previous`, and its file. `keep` is given each block as it was read.

    Raises ClickException when the log is not the one that `previous` is of, or lacks what it saw.
    """
    cluster = await log.cluster(bootstrap, log.KEPT)
    firsts = {position: _first(position, cluster, previous) for position in cluster.ends}
    spans = []
    async with log.reader(bootstrap) as reader:
        for position, end in cluster.ends.items():
            topic, partition = position
            blocks = await _blocks(reader, position, firsts[position], end, keep)
            spans.append(Span(topic, cluster.topic_ids[topic], partition, firsts[position], end, blocks))
    at = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    checkpoint = following(previous, cluster.id, at, spans)
    return checkpoint, sign(checkpoint, key)


def _first(position: Position, cluster: Cluster, previous: Signed | None) -> int:
    """Where the partition's next blocks begin."""
    span = previous.checkpoint.span(position) if previous else None
    if previous is None or span is None:
        return cluster.beginnings[position]
    name = f"{position[0]}-{position[1]}"
    if previous.checkpoint.cluster != cluster.id:
        raise log.Unreadable(f"{previous.name} is of another cluster")
    if cluster.topic_ids[position[0]] != span.topic_id:
        raise click.ClickException(f"the topic {position[0]} was made anew since {previous.name}")
    if not cluster.beginnings[position] <= span.end <= cluster.ends[position]:
        raise click.ClickException(f"{name} does not reach offset {span.end} any more, where {previous.name} ended")
    return span.end


async def _blocks(reader: Reader, position: Position, first: int, end: int, keep: Keep | None) -> tuple[Block, ...]:
    blocks: list[Block] = []

    def whole(cut: Cut) -> None:
        blocks.append(cut.block)
        if keep is not None:
            keep(cut)

    cutter = Cutter(first, end, BLOCK, whole)
    async for records in reader.span(position, first, end):
        for r in records:
            cutter.add(r.offset, leaf_of(r.offset, r.timestamp, r.key, r.value, r.headers))
    cutter.finish()
    return tuple(blocks)
