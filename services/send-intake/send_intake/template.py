"""The text of a campaign: literal words and merge fields, `{first_name}` for a column, `{{` and `}}` for braces."""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

MAX_TEXT = 1600  # characters; what carriers take as one message of many segments (Twilio answers 21617 beyond)


class TemplateReason(StrEnum):
    """Why a text cannot be a campaign's. The value is the stable code, `words` is for people."""

    EMPTY_TEXT = "empty_text"
    TEXT_TOO_LONG = "text_too_long"
    UNBALANCED_BRACE = "unbalanced_brace"
    EMPTY_FIELD = "empty_field"
    UNSENDABLE_CHARACTER = "unsendable_character"

    @property
    def words(self) -> str:
        return _WORDS[self]


_WORDS = {
    TemplateReason.EMPTY_TEXT: "The text is empty.",
    TemplateReason.TEXT_TOO_LONG: f"The text has more than {MAX_TEXT} characters.",
    TemplateReason.UNBALANCED_BRACE: "A brace has no partner. Write {{ or }} to send a brace itself.",
    TemplateReason.EMPTY_FIELD: "A merge field has no name: write the name of a column between the braces.",
    TemplateReason.UNSENDABLE_CHARACTER: "The text holds half a character, or one that no phone shows.",
}


class TemplateProblem(NamedTuple):
    reason: TemplateReason
    at: int  # where in the text, in characters from 0


@dataclass(frozen=True, slots=True)
class Template:
    """A text that parsed. `fields` are the merge fields as written, each once, in order of appearance."""

    fields: tuple[str, ...]
    _wanted: tuple[str, ...]  # the field of each placeholder, in order
    _format: str  # the text as a %-format with one %s per placeholder: filling it in is one call of C

    def missing(self, columns: Iterable[str]) -> tuple[str, ...]:
        """The fields that no column fills."""
        names = {normal(name) for name in columns}
        return tuple(field for field in self.fields if normal(field) not in names)

    def render(self, columns: Mapping[str, str]) -> str:
        """The text for one person. A cell is put in as it is, never read as a template; a missing column is blank."""
        found = _columns_for(self._wanted, tuple(columns))
        return self._format % tuple(["" if name is None else columns[name] for name in found])


def normal(name: str) -> str:
    """`First Name`, `FIRST_NAME` and `firstname` are one: a merge field ignores case, spaces and underscores."""
    return "".join(unicodedata.normalize("NFC", name).split()).replace("_", "").casefold()


@lru_cache(maxsize=1024)
def _columns_for(fields: tuple[str, ...], names: tuple[str, ...]) -> tuple[str | None, ...]:
    """The column of each field. All rows of a list share their names, so the matching is done once, not per person."""
    return tuple(column_for(field, names) for field in fields)


def column_for(field: str, names: tuple[str, ...]) -> str | None:
    """Of two columns that both match, the one spelled as the field; otherwise not the order of a dict decides."""
    alike = sorted(name for name in names if normal(name) == normal(field))
    return field if field in alike else next(iter(alike), None)


# JSON can carry both; neither UTF-8 (half a surrogate pair) nor Postgres (NUL) can.
_UNSENDABLE = re.compile("[\x00\ud800-\udfff]")
_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


def parse(text: str) -> Template | TemplateProblem:
    """The compiled text, or its first problem."""
    if not text.strip():
        return TemplateProblem(TemplateReason.EMPTY_TEXT, 0)
    if len(text) > MAX_TEXT:
        return TemplateProblem(TemplateReason.TEXT_TOO_LONG, MAX_TEXT)
    if unsendable := _UNSENDABLE.search(text):
        return TemplateProblem(TemplateReason.UNSENDABLE_CHARACTER, unsendable.start())
    return _compiled(text)


def _compiled(text: str) -> Template | TemplateProblem:
    wanted: list[str] = []
    parts: list[str] = []
    end = 0
    for token in _TOKEN.finditer(text):
        parts.append(_literal(text[end : token.start()]))
        end = token.end()
        if token[0] in ("{{", "}}"):
            parts.append(token[0][0])
        elif token[1] is None:
            return TemplateProblem(TemplateReason.UNBALANCED_BRACE, token.start())
        elif not normal(token[1]):
            return TemplateProblem(TemplateReason.EMPTY_FIELD, token.start())
        else:
            parts.append("%s")
            wanted.append(token[1].strip())
    parts.append(_literal(text[end:]))
    return Template(tuple(dict.fromkeys(wanted)), tuple(wanted), "".join(parts))


def _literal(text: str) -> str:
    return text.replace("%", "%%")
