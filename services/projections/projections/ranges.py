"""Which bytes a `Range` header asks for (RFC 9110, 14)."""

import re

_ONE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


class Unsatisfiable(ValueError):
    """What is asked for begins after the end."""


def byte_range(header: str, size: int) -> range | None:
    """The bytes of `size` that are asked for; None for what is not one range of bytes, and so asks for all.

    Raises Unsatisfiable.
    """
    found = _ONE.fullmatch(header.strip())
    if found is None or found[1] == found[2] == "":
        return None
    if found[1] == "":
        first, last = max(0, size - int(found[2])), size - 1
    else:
        first, last = int(found[1]), min(size - 1, int(found[2] or size - 1))
        if found[2] and int(found[2]) < first:
            return None
    if first >= size or last < first:
        raise Unsatisfiable
    return range(first, last + 1)
