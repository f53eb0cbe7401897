"""What is proven while the log is read is what can be checked without it."""

import pytest
from handsent.audit import merkle
from handsent.audit.blocks import Block, Cut, Cutter
from handsent.audit.checkpoint import Checkpoint, Signed, Span, private_key, read, sign
from handsent.audit.framing import BadLine, Record
from handsent.audit.proofs import Proof, Proven, Prover, Reaching, from_line
from hypothesis import given
from hypothesis import strategies as st

KEY = private_key("11" * 32)
SIZE = 4
PLACE = ("processed", 2)


def record(offset: int, said: bytes = b"said") -> Record:
    return Record(*PLACE, offset, 0, b"key", said, ())


def checkpoint(number: int, offsets: list[int], first: int, end: int) -> Signed:
    blocks: list[Block] = []
    cutter = Cutter(first, end, SIZE, lambda cut: blocks.append(cut.block))
    for offset in offsets:
        if first <= offset < end:
            cutter.add(offset, record(offset).leaf())
    cutter.finish()
    span = Span(*PLACE[:1], "an id", PLACE[1], first, end, tuple(blocks))
    return read(sign(Checkpoint(number, None, "now", "here", SIZE, (span,)), KEY))


class Log:
    """A partition, which of its records are the campaign's, and the checkpoints that cover its beginning."""

    def __init__(self, offsets: list[int], ours: set[int], cuts: list[int], end: int) -> None:
        self.offsets, self.end = offsets, end
        self.ours = [record(offset) for offset in offsets if offset in ours and offset < end]
        edges = [0, *sorted(cuts)]
        self.chain = [checkpoint(n, offsets, *edges[n - 1 : n + 1]) for n in range(1, len(edges))]

    def proofs(self) -> list[Proof]:
        found: list[Proof | str] = []
        prover = Prover(self.chain, PLACE, found.append)
        for offset in self.offsets:
            if offset < self.end:
                prover.add(record(offset), record(offset) in self.ours)
        prover.finish(self.end)
        assert not any(isinstance(one, str) for one in found)
        return [from_line(one.line().encode()) for one in found if isinstance(one, Proof)]

    def checked(self, records: list[Record], proofs: list[Proof]) -> tuple[Proven, list[str]]:
        wrong: list[str] = []
        proven = Proven(self.chain, {PLACE: self.end}, iter(proofs), wrong.append)
        for one in records:
            proven.add(one)
        proven.finish()
        return proven, wrong


@st.composite
def logs(draw: st.DrawFn) -> Log:
    offsets = draw(st.lists(st.integers(0, 40), unique=True).map(sorted))
    ours = draw(st.sets(st.sampled_from(offsets))) if offsets else set()
    return Log(offsets, ours, draw(st.lists(st.integers(1, 44), max_size=3)), draw(st.integers(0, 45)))


@given(logs())
def test_what_was_proven_is_found_proven(log: Log) -> None:
    proven, wrong = log.checked(log.ours, log.proofs())
    assert wrong == [] and proven.proven + proven.unproven + proven.later == len(log.ours)


@given(logs(), st.data())
def test_a_record_that_was_edited_added_or_taken_out_is_not(log: Log, data: st.DataObject) -> None:
    proofs = log.proofs()
    if not proofs:
        return
    covered = [one for one in log.ours if log.checked([one], [])[1]]
    victim = data.draw(st.sampled_from(covered))
    edited = [one._replace(value=b"other") if one is victim else one for one in log.ours]
    without = [one for one in log.ours if one is not victim]
    for changed in (edited, without):
        assert log.checked(changed, proofs)[1]
    assert log.checked(log.ours, proofs[1:])[1] and log.checked(log.ours, [*proofs, proofs[-1]])[1]


def test_where_a_checkpoint_was_signed_nothing_came_later() -> None:
    """The export ended at 3, in the middle of what was signed up to 8: it proves none of it."""
    log = Log([0, 1, 2, 5, 9], {0, 2, 9}, [8], 3)
    proven, wrong = log.checked(log.ours, log.proofs())
    assert (wrong, proven.proven, proven.unproven, proven.later) == ([], 0, 2, 0)
    assert not proven.add(record(9)) and proven.later == 1


def test_of_a_withheld_record_nothing_is_proven() -> None:
    log = Log([0, 1, 2], {0, 1}, [3], 3)
    withheld = [log.ours[0], log.ours[1]._replace(value=None, withheld=log.ours[1].leaf())]
    proven, wrong = log.checked(withheld, log.proofs())
    assert (wrong, proven.proven, proven.later) == ([], 1, 0)


def test_a_checkpoint_reaches_over_whatever_lies_before_its_end() -> None:
    reaching = Reaching([checkpoint(2, [4, 5], 4, 8), checkpoint(3, [], 8, 12)])
    reaching.add(record(12))
    assert reaching.found == []
    reaching.add(record(1))
    assert [one.checkpoint.number for one in reaching.found] == [2, 3]


def test_a_block_that_was_changed_since_is_told_while_it_is_proven() -> None:
    chain = [checkpoint(1, [0, 1, 2], 0, 4)]
    found: list[Proof | str] = []
    prover = Prover(chain, PLACE, found.append)
    for offset, said in enumerate((b"said", b"other", b"said")):
        prover.add(record(offset, said), offset == 0)
    prover.finish(4)
    assert found[1] == "block 0 of processed-2 in checkpoint 1 is not what was signed"


@pytest.mark.parametrize(
    "line", [b"", b"{}", b"[]", b'{"checkpoint":1,"topic":"t","partition":0,"block":0,"shown":[-1],"hashes":[]}']
)
def test_what_is_no_proof_is_none(line: bytes) -> None:
    with pytest.raises(BadLine):
        from_line(line)


def test_a_cut_s_block_is_its_root() -> None:
    leaves = [record(n).leaf() for n in range(3)]
    assert Cut(0, [0, 1, 2], leaves).block == Block(3, merkle.root(leaves))
