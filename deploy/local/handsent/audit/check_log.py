"""Holds checkpoints against the log as it is: reads again what they cover, and says where it differs."""

from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

from handsent.audit import log
from handsent.audit.blocks import Cut, Cutter, differing
from handsent.audit.checkpoint import Checkpoint, Signed, Span
from handsent.audit.framing import leaf_of
from handsent.audit.log import Cluster, Corrupt, Reader

SHOWN = 20  # offsets of one block
# The block of that number as it was, of this checkpoint and span, if somebody kept its leaves.
Kept = Callable[[Signed, Span, int], Cut | None]


class Wrong(NamedTuple):
    """A block that is not what was signed."""

    number: int
    last: int
    where: list[str]


async def check(bootstrap: str, chain: list[Signed], kept: Kept) -> AsyncIterator[str]:
    """What of the log is not as these checkpoints saw it, a line each. Raises Unreadable for another cluster's."""
    topics = sorted({span.topic for signed in chain for span in signed.checkpoint.spans})
    cluster = await log.cluster(bootstrap, topics)
    if foreign := [signed for signed in chain if signed.checkpoint.cluster != cluster.id]:
        theirs = foreign[0].checkpoint.cluster
        raise log.Unreadable(f"{foreign[0].name} is of another cluster: of {theirs}, and this is {cluster.id}")
    anew: set[str] = set()
    async with log.reader(bootstrap) as reader:
        for signed in chain:
            for span in signed.checkpoint.spans:
                if cluster.topic_ids[span.topic] == span.topic_id:
                    async for said in _check(reader, cluster, signed, span, kept):
                        yield said
                elif span.topic not in anew:
                    anew.add(span.topic)
                    yield f"the topic {span.topic} was made anew: {signed.name} is of the one that was before"


async def _check(reader: Reader, cluster: Cluster, signed: Signed, span: Span, kept: Kept) -> AsyncIterator[str]:
    place = f"{span.topic}-{span.partition}"
    if span.position not in cluster.ends:
        yield f"{place} is gone"
        return
    first, end = max(span.first, cluster.beginnings[span.position]), min(span.end, cluster.ends[span.position])
    if first > span.first:
        yield f"{place} begins at offset {first} now: what {signed.name} saw before it is gone"
    if end < span.end:
        yield f"{place} ends at offset {end} now: {signed.name} saw it reach {span.end}"
    found, corrupt = list[Wrong](), ""
    try:
        await _compare(reader, signed, span, first, end, kept, found)
    except Corrupt as error:
        corrupt = str(error)
    for wrong in _joined(found):
        yield _said(place, signed.checkpoint, span, wrong)
        for where in wrong.where:
            yield f"  {place} {where}"
    if corrupt:
        yield corrupt


async def _compare(
    reader: Reader, signed: Signed, span: Span, first: int, end: int, kept: Kept, found: list[Wrong]
) -> None:
    """Finds the blocks that differ. Of one that the log does not hold whole only what was kept can be told."""
    size = signed.checkpoint.block

    def whole(cut: Cut) -> None:
        number = (cut.first - span.first) // size
        if cut.block == span.blocks[number]:
            return
        before = kept(signed, span, number)
        where = [] if before is None else differing(before, cut)
        within = first <= cut.first and min(cut.first + size, span.end) <= end
        if where or within:
            more = [f"and {len(where) - SHOWN} more"] if len(where) > SHOWN else []
            found.append(Wrong(number, number, where[:SHOWN] + more))

    cutter = Cutter(span.first, span.end, size, whole)
    async for records in reader.span(span.position, first, end):
        for r in records:
            cutter.add(r.offset, leaf_of(r.offset, r.timestamp, r.key, r.value, r.headers))
    cutter.finish()


def _joined(found: list[Wrong]) -> list[Wrong]:
    """Neighbours of which nothing more is known are one line."""
    joined: list[Wrong] = []
    for wrong in found:
        if joined and not wrong.where and not joined[-1].where and joined[-1].last + 1 == wrong.number:
            joined[-1] = joined[-1]._replace(last=wrong.last)
        else:
            joined.append(wrong)
    return joined


def _said(place: str, checkpoint: Checkpoint, span: Span, wrong: Wrong) -> str:
    first = span.first + wrong.number * checkpoint.block
    last = min(span.first + (wrong.last + 1) * checkpoint.block, span.end) - 1
    blocks = f"block {wrong.number}" if wrong.number == wrong.last else f"blocks {wrong.number} to {wrong.last}"
    return f"{place} offsets {first} to {last} ({blocks} of checkpoint {checkpoint.number}) are not what was signed"
