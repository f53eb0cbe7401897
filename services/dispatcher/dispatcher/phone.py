"""A phone number as a person types it, as E.164: the rule that lists are read by."""

from kernel.phone import PhoneProblem, normalise


class BadPhone(ValueError):
    """Not a number that can be texted; the message says why and never repeats it."""


def read(typed: str, region: str) -> str:
    """E.164 of what was typed, read as in `region` unless it names its own country. Raises BadPhone."""
    found = normalise(typed, region)
    if isinstance(found, PhoneProblem):
        raise BadPhone(found.words)
    return found
