"""The words that decide what a reply asks for, as data: `words.toml`, read once, with the program."""

import tomllib
from importlib.resources import files
from typing import Any

TABLE: dict[str, Any] = tomllib.loads((files(__package__) / "words.toml").read_text(encoding="utf-8"))
