"""Texts as Postgres can keep them."""

from collections.abc import Iterable
from functools import lru_cache

import orjson


def storable(text: str) -> str:
    """Postgres keeps every character but NUL."""
    return text.replace("\x00", "")


def storable_json(texts: Iterable[str]) -> str:
    return orjson.dumps([storable(text) for text in texts]).decode()


@lru_cache(maxsize=1024)
def headers(names: tuple[str, ...]) -> str:
    """The headers of a list: the same text for all of its rows."""
    return storable_json(names)
