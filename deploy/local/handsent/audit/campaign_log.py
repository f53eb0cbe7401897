"""The records of one campaign, as they are read from the log."""

import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from handsent import log_view
from handsent.audit import log
from handsent.audit.checkpoint import Signed
from handsent.audit.desk import TOPICS, Desk
from handsent.audit.framing import Position, Record
from handsent.audit.log import Cluster, Corrupt, Reader
from handsent.audit.proofs import Proof, Prover
from handsent.log_view import Seen

Spans = Mapping[Position, tuple[int, int]]


def spans(cluster: Cluster, as_of: Mapping[Position, int] | None = None) -> dict[Position, tuple[int, int]]:
    """What there is to read of the campaign's topics, in the order it is told in; up to `as_of` where it is given."""
    ends = {position: end for topic in TOPICS for position, end in cluster.ends.items() if position[0] == topic}
    return {
        position: (cluster.beginnings[position], min(end, (as_of or ends).get(position, 0)))
        for position, end in ends.items()
    }


async def records(
    reader: Reader,
    desk: Desk,
    wanted: Spans,
    chain: Sequence[Signed] = (),
    prove: Callable[[Proof | str], None] | None = None,
    corrupt: Callable[[Corrupt], None] | None = None,
) -> AsyncIterator[list[Record]]:
    """The campaign's records, which the caller puts on the desk before the next: whose opt-outs count follows from
    them. `prove` is given the proofs of what `chain` covers, `corrupt` what cannot be read; without it that is raised.
    """
    for position, (first, end) in wanted.items():
        prover = Prover(chain, position, prove) if chain and prove else None
        try:
            async for found in reader.span(position, first, end):
                ours = [record for record in found if _taken(desk, record, prover)]
                if ours:
                    yield [_record(one) for one in ours]
        except Corrupt as error:
            if corrupt is None:
                raise
            corrupt(error)
        if prover is not None:
            prover.finish(end)


async def whole(bootstrap: str, campaign_id: str, topics: Sequence[str]) -> AsyncIterator[Seen]:
    """The campaign's records in these topics, up to their ends as they are now."""
    cluster = await log.cluster(bootstrap, TOPICS)
    with tempfile.TemporaryDirectory() as place:
        desk = Desk(Path(place), campaign_id)
        try:
            async with log.reader(bootstrap) as reader:
                async for page in records(reader, desk, spans(cluster)):
                    desk.meet(page)
                    for one in page:
                        if one.topic in topics:
                            yield log_view.seen(*one[:6])
        finally:
            desk.close()


def _taken(desk: Desk, record: Any, prover: Prover | None) -> bool:
    ours = desk.wants(record.topic, record.value)
    if prover is not None:
        prover.add(record, ours)
    return ours


def _record(r: Any) -> Record:
    return Record(r.topic, r.partition, r.offset, r.timestamp, r.key, r.value, tuple(r.headers))
