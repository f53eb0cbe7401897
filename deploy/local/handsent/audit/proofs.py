"""Proofs that a campaign's records lie in blocks that were signed: made while the log is read, checked without it."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

from handsent.audit import merkle
from handsent.audit.blocks import Cut, Cutter
from handsent.audit.checkpoint import Signed, Span
from handsent.audit.framing import BadLine, Position, Record, leaf_of


class Proof(NamedTuple):
    """Of one block: which of its leaves are the campaign's records, and what it takes to compute the root with them."""

    checkpoint: int
    topic: str
    partition: int
    block: int
    shown: list[int]
    hashes: list[bytes]

    @property
    def name(self) -> str:
        return f"block {self.block} of {self.topic}-{self.partition} in checkpoint {self.checkpoint}"

    def line(self) -> str:
        said = {**self._asdict(), "hashes": [one.hex() for one in self.hashes]}
        return json.dumps(said, separators=(",", ":")) + "\n"


def from_line(line: bytes) -> Proof:
    """Raises BadLine."""
    try:
        said = json.loads(line)
        proof = Proof(**{**said, "hashes": [bytes.fromhex(one) for one in said["hashes"]]})
        numbers = [proof.checkpoint, proof.partition, proof.block, *proof.shown]
        if not all(type(n) is int and n >= 0 for n in numbers) or type(proof.topic) is not str:
            raise ValueError
    except (ValueError, KeyError, TypeError, RecursionError):
        raise BadLine("is no proof") from None
    return proof


class Prover:
    """Is shown every record of one partition, in order, and told which are the campaign's."""

    def __init__(self, chain: Iterable[Signed], position: Position, prove: Callable[[Proof | str], None]) -> None:
        """`prove` is given the proof of each block that has such a record; a line, where it is not what was signed."""
        covering = [(signed, span) for signed in chain if (span := signed.checkpoint.span(position))]
        self._coming = [one for one in reversed(covering) if one[1].first < one[1].end]
        self._prove = prove
        self._shown: list[int] = []
        self._cutter: Cutter | None = None

    def add(self, record: Any, ours: bool) -> None:
        """`record` is Kafka's, or one like it."""
        self.finish(record.offset)
        if not self._coming or record.offset < self._coming[-1][1].first:
            return
        if self._cutter is None:
            signed, span = self._coming[-1]
            self._cutter = Cutter(span.first, span.end, signed.checkpoint.block, self._whole)
        leaf = leaf_of(record.offset, record.timestamp, record.key, record.value, record.headers)
        at = self._cutter.add(record.offset, leaf)
        if ours:
            self._shown.append(at)

    def finish(self, end: int) -> None:
        """Everything before `end` was shown. A block that reaches beyond it proves nothing."""
        while self._coming and self._coming[-1][1].end <= end:
            if self._cutter is not None:
                self._cutter.finish()
            self._coming.pop()
            self._cutter = None
        if self._cutter is not None:
            self._cutter.until(end)

    def _whole(self, cut: Cut) -> None:
        shown, self._shown = self._shown, []
        if not shown:
            return
        signed, span = self._coming[-1]
        number = (cut.first - span.first) // signed.checkpoint.block
        proof = Proof(signed.checkpoint.number, *span.position, number, shown, merkle.proof(cut.leaves, shown))
        self._prove(proof)
        if cut.block != span.blocks[number]:
            self._prove(f"{proof.name} is not what was signed")


class Proven:
    """Is shown an export's records in order and holds each block's against its proof."""

    def __init__(
        self,
        chain: Iterable[Signed],
        ends: Mapping[Position, int],
        proofs: Iterator[Proof],
        wrong: Callable[[str], None],
    ) -> None:
        """`ends` are where the export ended: a block that reached beyond could not be proven then."""
        self._covering: dict[Position, list[tuple[Signed, Span]]] = {}
        for signed in chain:
            for span in signed.checkpoint.spans:
                self._covering.setdefault(span.position, []).append((signed, span))
        self._ends, self._proofs, self._wrong = ends, proofs, wrong
        self._next = next(proofs, None)
        self._records: list[Record] = []
        self._block: tuple[int, str, int, int] | None = None
        self._span: Span | None = None
        self.proven = self.unproven = self.later = 0

    def add(self, record: Record) -> bool:
        """Whether a checkpoint covers it."""
        block, span = self._block_of(record)
        if block != self._block:
            self.finish_block()
            self._block, self._span = block, span
        if block is not None:
            self._records.append(record)
        elif span is not None:
            self.unproven += 1  # signed, and the export ended before the end of its block
        else:
            self.later += 1
        return span is not None

    def _block_of(self, record: Record) -> tuple[tuple[int, str, int, int] | None, Span | None]:
        for signed, span in self._covering.get(record.position, []):
            if span.first <= record.offset < span.end:
                size = signed.checkpoint.block
                number = (record.offset - span.first) // size
                if min(span.first + (number + 1) * size, span.end) > self._ends.get(record.position, 0):
                    return None, span
                return (signed.checkpoint.number, *record.position, number), span
        return None, None

    def finish_block(self) -> None:
        """All records of a block were shown."""
        records, self._records = self._records, []
        if self._block is None or self._span is None:
            return
        proof = self._next
        if proof is None or proof[:4] != self._block:
            self._wrong(f"{records[0].place}: the proof of its block is missing")
            return
        self._next = next(self._proofs, None)
        said = wrong(proof, self._span, records)
        if said is None:
            self.proven += sum(record.withheld is None for record in records)  # else only its hash is
        else:
            self._wrong(said)

    def finish(self) -> None:
        self.finish_block()
        if self._next is not None:
            self._wrong(f"{self._next.name} has a proof, and none of its records is here")


class Reaching:
    """Which of these checkpoints end behind one of the records that it is shown: they, or those before, cover it."""

    def __init__(self, signed: Iterable[Signed]) -> None:
        self._left = [(one, {span.position: span for span in one.checkpoint.spans}) for one in signed]
        self.found: list[Signed] = []

    def add(self, record: Record) -> None:
        for entry in self._left:
            signed, spans = entry
            span = spans.get(record.position)
            if span is not None and record.offset < span.end:
                self.found.append(signed)
                self._left = [one for one in self._left if one is not entry]


def wrong(proof: Proof, span: Span, records: list[Record]) -> str | None:
    """What is wrong with the proof of these records, the export's own of the block."""
    in_order = all(one < other for one, other in pairwise(proof.shown))
    if proof.block >= len(span.blocks) or len(proof.shown) != len(records) or not in_order:
        return f"{proof.name}: its proof is not of the records that are here"
    block, leaves = span.blocks[proof.block], [record.leaf() for record in records]
    try:
        found = merkle.root_from(block.records, dict(zip(proof.shown, leaves, strict=True)), proof.hashes)
    except merkle.BadProof as error:
        return f"{proof.name}: {error}"
    if found != block.root:
        first, last = records[0].offset, records[-1].offset
        return f"{proof.name}: a record here from offset {first} to {last} is not what was signed"
    return None
