"""How many segments a carrier bills for a text, and which characters make it dear."""

from enum import StrEnum
from typing import NamedTuple

# GSM 03.38. A character of the extension table is sent as an escape and a second septet, so it counts twice.
_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENSION = frozenset("\f^{}\\[~]|€")
_GSM = _BASIC | _EXTENSION


class Encoding(StrEnum):
    GSM_7 = "GSM-7"
    UCS_2 = "UCS-2"


# Units of a text that fits alone, and of each segment of a longer one (a header takes 6 bytes of its 140).
_ALONE = {Encoding.GSM_7: 160, Encoding.UCS_2: 70}
_JOINED = {Encoding.GSM_7: 153, Encoding.UCS_2: 67}


class Segments(NamedTuple):
    encoding: Encoding
    segments: int
    units: int  # septets of GSM-7, UTF-16 code units of UCS-2
    forced_by: tuple[str, ...]  # the characters outside GSM-7, each once, in order: a curly quote triples the cost


def count(text: str) -> Segments:
    """An empty text is one segment: a message that is sent is billed."""
    letters = set(text)
    foreign = letters - _GSM
    encoding = Encoding.UCS_2 if foreign else Encoding.GSM_7
    doubled = {c for c in letters if c > "\uffff"} if foreign else letters & _EXTENSION
    units = len(text) + sum(map(text.count, doubled))
    segments = 1 if units <= _ALONE[encoding] else _filled(text, doubled, _JOINED[encoding])
    return Segments(encoding, segments, units, tuple(sorted(foreign, key=text.index)))


def _filled(text: str, doubled: set[str], size: int) -> int:
    """An escape and its character never part, nor do the halves of a surrogate pair: a segment can stay one short."""
    if not doubled:
        return -(-len(text) // size)
    segments, room = 1, size
    for character in text:
        width = 2 if character in doubled else 1
        if width > room:
            segments, room = segments + 1, size
        room -= width
    return segments
