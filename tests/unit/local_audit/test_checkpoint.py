"""Checkpoints: blocks, signatures and the chain."""

from contextlib import suppress
from dataclasses import replace

import pytest
from handsent.audit.blocks import Block, Cut, Cutter, count, differing
from handsent.audit.checkpoint import (
    BadCheckpoint,
    BadKey,
    Checkpoint,
    Signed,
    Span,
    chain,
    following,
    private_key,
    public_hex,
    public_key,
    public_pem,
    read,
    sign,
)
from handsent.audit.merkle import leaf, root
from hypothesis import given
from hypothesis import strategies as st

KEY, OTHER = private_key("11" * 32), private_key("22" * 32)
TOPIC_ID = "0c6b9d0e-2a5e-4b7a-8e11-6f1a1c1e8f0c"


def span(first: int = 0, end: int = 5000, partition: int = 0) -> Span:
    blocks = tuple(Block(1, leaf(bytes([n]))) for n in range(count(first, end, 4096)))
    return Span("processed", TOPIC_ID, partition, first, end, blocks)


def make(previous: Signed | None = None, *spans: Span, key: object = KEY) -> Signed:
    checkpoint = following(previous, "a cluster", "2026-03-01T12:00:00Z", spans or (span(),))
    return read(sign(checkpoint, key))  # type: ignore[arg-type]


ONE = make()
TWO = make(ONE, span(5000, 5000))
THREE = make(TWO, span(5000, 6000))


@given(st.lists(st.integers(0, 60), unique=True).map(sorted), st.integers(0, 20), st.integers(1, 9))
def test_every_offset_falls_into_its_block(offsets: list[int], room: int, size: int) -> None:
    end = max(offsets, default=0) + 1 + room
    cuts: list[Cut] = []
    cutter = Cutter(0, end, size, cuts.append)
    for offset in offsets:
        cutter.add(offset, leaf(bytes([offset])))
    cutter.finish()
    assert [cut.first for cut in cuts] == list(range(0, end, size)) and len(cuts) == count(0, end, size)
    assert [offset for cut in cuts for offset in cut.offsets] == offsets
    for cut in cuts:
        assert all(cut.first <= offset < cut.first + size for offset in cut.offsets)
        assert cut.block == Block(len(cut.leaves), root(cut.leaves))


def test_what_is_different_in_a_block_is_named() -> None:
    was = Cut(0, [0, 1, 2, 3], [leaf(b"a"), leaf(b"b"), leaf(b"c"), leaf(b"d")])
    found = Cut(0, [0, 1, 3, 4], [leaf(b"a"), leaf(b"x"), leaf(b"d"), leaf(b"e")])
    assert differing(was, found) == [
        "offset 1 does not say what it said", "offset 2 is gone", "offset 4 was not there"
    ]  # fmt: skip
    assert differing(was, was) == []


def test_a_file_says_what_was_signed() -> None:
    assert ONE.checkpoint == Checkpoint(1, None, "2026-03-01T12:00:00Z", "a cluster", 4096, (span(),))
    assert ONE.is_of(KEY.public_key()) and not ONE.is_of(OTHER.public_key())
    assert sign(ONE.checkpoint, KEY).count(b"\n") == 2


def test_a_changed_file_is_not_signed() -> None:
    data = sign(ONE.checkpoint, KEY)
    assert not read(data.replace(b"a cluster", b"b cluster")).is_of(KEY.public_key())
    assert not read(sign(replace(ONE.checkpoint, number=2), OTHER)).is_of(KEY.public_key())


@given(st.data())
def test_bytes_that_are_no_checkpoint_are_none(data: st.DataObject) -> None:
    good = sign(ONE.checkpoint, KEY)
    at = data.draw(st.integers(0, len(good) - 1))
    damaged = data.draw(st.sampled_from([good[:at], good[:at] + good[at + 1 :], good[:at] + b"\xff" + good[at + 1 :]]))
    with suppress(BadCheckpoint):
        assert not read(damaged).is_of(KEY.public_key())


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'"handsent_checkpoint":1', b'"handsent_checkpoint":2'), (b'"block":4096', b'"block":0'),
        (b'"block":4096', b'"block":99999999'), (b'"end":5000', b'"end":500000'), (b'"first":0', b'"first":true'),
        (b'"first":0', b'"first":9000'), (b"[1,", b"[5000,"), (b"[1,", b"[-1,"),
        (b'"partitions":[', b'"partitions":[1,'),
    ],
)  # fmt: skip
def test_a_signed_nonsense_is_no_checkpoint(before: bytes, after: bytes) -> None:
    data = sign(ONE.checkpoint, KEY)
    assert before in data
    with pytest.raises(BadCheckpoint):
        read(data.replace(before, after))


def test_a_chain_is_put_in_order_and_holds() -> None:
    assert chain([THREE, ONE, TWO, ONE]) == ([ONE, TWO, THREE], [])


@pytest.mark.parametrize(
    ("given_", "says"),
    [
        ([ONE, THREE], "some are missing"),
        ([ONE, make(key=OTHER)], "two checkpoints 1"),
        ([ONE, make(make(key=OTHER), span(5000, 5000))], "does not follow"),
        ([ONE, make(ONE, span(4000, 6000))], "does not go on with processed-0"),
        ([ONE, make(ONE, span(partition=1))], "does not go on with processed-0"),
        ([ONE, read(sign(replace(TWO.checkpoint, cluster="another"), KEY))], "another cluster"),
    ],
)
def test_a_chain_that_does_not_hold_says_where(given_: list[Signed], says: str) -> None:
    assert [says in wrong for wrong in chain(given_)[1]] == [True]


def test_a_public_key_is_read_in_either_form() -> None:
    key = KEY.public_key()
    assert public_hex(public_key(public_hex(key))) == public_hex(public_key(public_pem(key))) == public_hex(key)


@pytest.mark.parametrize("said", ["", "00", "zz" * 32, "-----BEGIN PUBLIC KEY-----\nAA\n-----END PUBLIC KEY-----"])
def test_what_is_no_key_is_none(said: str) -> None:
    with pytest.raises(BadKey):
        public_key(said)
