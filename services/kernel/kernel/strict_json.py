"""JSON from callers, read once and strictly: what two readers could understand differently is not understood at all."""

import json
from typing import Any

MOST_MEMBERS = 1000


class Malformed(ValueError):
    """Not JSON as we read it; the message says why and repeats nothing of it."""


def loads(body: bytes) -> Any:
    """The content. Raises Malformed: also for doubled keys, NaN, and what is nested too deep."""
    try:
        return json.loads(body.decode(), object_pairs_hook=_object, parse_constant=_no_number)
    except Malformed:
        raise
    except json.JSONDecodeError as error:
        raise Malformed(f"{error.msg} at {error.pos}") from None
    except UnicodeDecodeError:
        raise Malformed("it is not UTF-8") from None
    except RecursionError:
        raise Malformed("it is nested too deep") from None
    except ValueError:  # of int(): the interpreter's own limit
        raise Malformed("a number has too many digits") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Malformed("a key stands twice in one object")
    if len(found) > MOST_MEMBERS:
        raise Malformed(f"an object has more than {MOST_MEMBERS} members")
    return found


def _no_number(name: str) -> Any:
    raise Malformed(f"{name} is no number of JSON's")
