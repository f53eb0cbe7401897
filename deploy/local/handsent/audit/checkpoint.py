"""A checkpoint: the roots of all blocks since the one before, which it names by its hash; one line of JSON, signed.

The file has two lines: the JSON, and `ed25519` with the signature over the first line, its newline included.
"""

import hashlib
import json
from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from handsent.audit.blocks import BLOCK, Block, count
from handsent.audit.framing import Position
from handsent.audit.merkle import HASH_BYTES

FORMAT = 1
LARGEST_BLOCK = 1 << 16
_SIGNED = b"ed25519 "


class BadCheckpoint(ValueError):
    """The file is no checkpoint; the message says why."""


class BadKey(ValueError):
    """It is no Ed25519 key."""


@dataclass(frozen=True, slots=True)
class Span:
    """What a checkpoint says of a partition: the blocks of its offsets from `first` up to `end`."""

    topic: str
    topic_id: str
    partition: int
    first: int
    end: int
    blocks: tuple[Block, ...]

    @property
    def position(self) -> Position:
        return self.topic, self.partition


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What is signed. `previous` is the SHA-256 of the file before, None of the first."""

    number: int
    previous: str | None
    at: str
    cluster: str
    block: int
    spans: tuple[Span, ...]

    def span(self, position: Position) -> Span | None:
        return next((span for span in self.spans if span.position == position), None)


@dataclass(frozen=True, slots=True)
class Signed:
    """A checkpoint as its file holds it."""

    checkpoint: Checkpoint
    data: bytes
    signature: bytes

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @property
    def name(self) -> str:
        return f"checkpoint {self.checkpoint.number}"

    def is_of(self, key: Ed25519PublicKey) -> bool:
        return is_signed(key, self.signature, self.data[: self.data.index(b"\n") + 1])


def sign(checkpoint: Checkpoint, key: Ed25519PrivateKey) -> bytes:
    """The checkpoint's file."""
    said = {
        "handsent_checkpoint": FORMAT,
        "number": checkpoint.number,
        "previous": checkpoint.previous,
        "at": checkpoint.at,
        "cluster": checkpoint.cluster,
        "block": checkpoint.block,
        "partitions": [
            {
                "topic": span.topic,
                "topic_id": span.topic_id,
                "partition": span.partition,
                "first": span.first,
                "end": span.end,
                "blocks": [[block.records, block.root.hex()] for block in span.blocks],
            }
            for span in checkpoint.spans
        ],
    }
    body = json.dumps(said, separators=(",", ":")).encode() + b"\n"
    return body + _SIGNED + b64encode(key.sign(body)) + b"\n"


def read(data: bytes) -> Signed:
    """The checkpoint of a file; whose it is was not looked at. Raises BadCheckpoint."""
    body, _, rest = data.partition(b"\n")
    if not rest.startswith(_SIGNED) or not rest.endswith(b"\n"):
        raise BadCheckpoint("it is no checkpoint, or has been cut off")
    try:
        signature = b64decode(rest[len(_SIGNED) : -1], validate=True)
        checkpoint = _checkpoint(json.loads(body))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadCheckpoint(f"it is no checkpoint: {error}") from None
    return Signed(checkpoint, data, signature)


def _checkpoint(said: dict[str, Any]) -> Checkpoint:
    if said["handsent_checkpoint"] != FORMAT:
        raise ValueError("another version of Handsent made it")
    block = _number(said["block"], LARGEST_BLOCK)
    spans = tuple(_span(one, block) for one in said["partitions"])
    if block == 0 or len({span.position for span in spans}) != len(spans):
        raise ValueError("a partition is told twice")
    previous = said["previous"]
    if previous is not None:
        bytes.fromhex(previous)
    number, at, cluster = _number(said["number"]), str(said["at"]), str(said["cluster"])
    return Checkpoint(number, previous, at, cluster, block, spans)


def _span(said: dict[str, Any], size: int) -> Span:
    first, end = _number(said["first"]), _number(said["end"])
    blocks = tuple(Block(_number(records, size), bytes.fromhex(root)) for records, root in said["blocks"])
    if end < first or len(blocks) != count(first, end, max(size, 1)):
        raise ValueError("its blocks are not those of its offsets")
    if any(len(block.root) != HASH_BYTES for block in blocks):
        raise ValueError("a root is no hash")
    return Span(str(said["topic"]), str(said["topic_id"]), _number(said["partition"]), first, end, blocks)


def _number(said: Any, most: int = 2**63) -> int:
    if type(said) is not int or not 0 <= said <= most:
        raise ValueError("a number is none")
    return said


def chain(checkpoints: Iterable[Signed]) -> tuple[list[Signed], list[str]]:
    """The checkpoints in their order, each once, and what is wrong with them as a chain."""
    ordered = sorted({one.digest: one for one in checkpoints}.values(), key=lambda one: one.checkpoint.number)
    return ordered, [wrong for before, after in pairwise(ordered) for wrong in _link(before, after)]


def _link(before: Signed, after: Signed) -> Iterable[str]:
    earlier, later = before.checkpoint, after.checkpoint
    if later.number == earlier.number:
        yield f"there are two checkpoints {later.number}, and they differ"
    elif later.number != earlier.number + 1:
        yield f"between checkpoints {earlier.number} and {later.number} some are missing"
    elif later.previous != before.digest:
        yield f"checkpoint {later.number} does not follow from this checkpoint {earlier.number}"
    elif later.cluster != earlier.cluster:
        yield f"checkpoint {later.number} is of another cluster than checkpoint {earlier.number}"
    else:
        yield from _steps(earlier, later)


def _steps(earlier: Checkpoint, later: Checkpoint) -> Iterable[str]:
    """Each partition goes on where it was left."""
    for span in earlier.spans:
        following = later.span(span.position)
        if following is None or (following.topic_id, following.first) != (span.topic_id, span.end):
            place = f"{span.topic}-{span.partition}"
            yield f"checkpoint {later.number} does not go on with {place} where {earlier.number} left it"


def following(previous: Signed | None, cluster: str, at: str, spans: Sequence[Span]) -> Checkpoint:
    """The checkpoint after `previous`."""
    number = previous.checkpoint.number + 1 if previous else 1
    return Checkpoint(number, previous.digest if previous else None, at, cluster, BLOCK, tuple(spans))


# --- keys --------------------------------------------------------------------------------------------------


def private_key(hexadecimal: str) -> Ed25519PrivateKey:
    """The key of 32 bytes in hex."""
    return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(hexadecimal))


def public_hex(key: Ed25519PublicKey) -> str:
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw).hex()


def public_pem(key: Ed25519PublicKey) -> str:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def public_key(said: str) -> Ed25519PublicKey:
    """The key of 64 hexadecimal digits, or of a PEM. Raises BadKey."""
    try:
        if said.lstrip().startswith("-----BEGIN"):
            key = load_pem_public_key(said.strip().encode())
            if not isinstance(key, Ed25519PublicKey):
                raise ValueError
            return key
        return Ed25519PublicKey.from_public_bytes(bytes.fromhex(said.strip()))
    except ValueError:
        raise BadKey("a public key is 64 hexadecimal digits, or a PEM of Ed25519") from None


def is_signed(key: Ed25519PublicKey, signature: bytes, said: bytes) -> bool:
    try:
        key.verify(signature, said)
    except InvalidSignature:
        return False
    return True
