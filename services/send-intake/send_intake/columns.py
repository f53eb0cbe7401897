"""The header of a list: which column holds the phone, and what the others are called."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from kernel.phone import PhoneProblem, normalise

MAX_COLUMNS = 500
MAX_NAME = 200  # characters of a column's name


class FileProblem(StrEnum):
    """Why nothing of a file is taken. The value is the stable code, `words` is for people."""

    EMPTY_FILE = "empty_file"
    NOT_CSV = "not_csv"
    MISSING_HEADER = "missing_header"
    MISSING_PHONE_COLUMN = "missing_phone_column"
    MISSING_COLUMN = "missing_column"
    TOO_MANY_COLUMNS = "too_many_columns"
    UNREADABLE_HEADER = "unreadable_header"

    @property
    def words(self) -> str:
        return _WORDS[self]


_WORDS = {
    FileProblem.EMPTY_FILE: "The file is empty.",
    FileProblem.NOT_CSV: "This is a spreadsheet, not CSV: open it and save it as CSV (UTF-8).",
    FileProblem.MISSING_HEADER: "The first row holds a phone number: add a row above it with the names of the columns.",
    FileProblem.MISSING_PHONE_COLUMN: "No column is named phone, mobile, cell or number.",
    FileProblem.MISSING_COLUMN: "The campaign's text has a merge field that no column fills.",
    FileProblem.TOO_MANY_COLUMNS: f"The file has more than {MAX_COLUMNS} columns.",
    FileProblem.UNREADABLE_HEADER: "The first row is not a row of column names.",
}


@dataclass(frozen=True, slots=True)
class Columns:
    phone: int  # index of the cell with the number
    names: tuple[str, ...]  # of the other columns, in order, each once
    width: int


def read_header(cells: Sequence[str], region: str) -> Columns | FileProblem:
    """The columns that a first row names; a nameless column is `column_3`, a second `Notes` is `Notes_2`."""
    if cells and cells[0].startswith(_SPREADSHEET):
        return FileProblem.NOT_CSV
    cells = _at_most_blank_beyond([cell.strip() for cell in cells])
    if len(cells) > MAX_COLUMNS:
        return FileProblem.TOO_MANY_COLUMNS
    phone = phone_column(cells)
    if phone is None:
        is_data = any(not isinstance(normalise(cell, region), PhoneProblem) for cell in cells)
        return FileProblem.MISSING_HEADER if is_data else FileProblem.MISSING_PHONE_COLUMN
    if max(map(len, cells)) > MAX_NAME:
        return FileProblem.UNREADABLE_HEADER
    names = _unique(cells)
    return Columns(phone, tuple(names[:phone] + names[phone + 1 :]), len(cells))


_SPREADSHEET = ("PK\x03\x04", "\xd0\xcf\x11\xe0")  # .xlsx; .xls, read as Windows-1252


def _at_most_blank_beyond(cells: list[str]) -> list[str]:
    """A spreadsheet can export all its 16,384 columns; those without a name beyond the limit are not the list's."""
    return cells if any(cells[MAX_COLUMNS:]) else cells[:MAX_COLUMNS]


def _unique(cells: list[str]) -> list[str]:
    """A name that is given, not read from the header, never takes one that another column has."""
    names: dict[str, None] = {}
    for place, cell in enumerate(cells, 1):
        name = stem = cell or f"column_{place}"
        copy = 1
        while name in names or (name != cell and name in cells):
            copy += 1
            name = f"{stem}_{copy}"
        names[name] = None
    return list(names)


# What is only called a number is one of a phone's with these before it; a voter's or a member's is a number of theirs.
_OWN = "(?:contact|my|your|primary|preferred|main|best|default|personal)*"
_WHOSE = (
    "(?:contact|voter|recipient|customer|client|member|supporter|donor|guest|patient|student|parent|guardian|person"
    "|user|subscriber|attendee|lead|my|your|billing|shipping|can2|primary|preferred|main|best|default|personal)*"
)
_OTHER = (
    "(?:home|house|residence|residential|evening|day|daytime|work|business|office|other|alternate|alternative"
    "|secondary|second|casa|trabajo)"
)
_MOBILE = "(?:mobile|mobil|mob|cell|cellular|movil|celular|handy|portable|sms(?=phone|number)|wireless(?=phone|number))"
_PHONE = "(?:phone|telephone|tel|telefono|telefone|telefon)"
_NUMBER = "(?:number|num|no|nr|nbr|numero|nummer)"
_BEFORE = f"{_WHOSE}(?:(?:{_NUMBER}|n)(?:de)?)?"
_AFTER = r"\d{0,2}(?:value|formatted|unformatted|e164|us|usa)?"

# Best first: only a mobile phone reads a text, and a landline comes last.
_PREFERRED = [
    re.compile(pattern).fullmatch
    for pattern in (
        f"{_BEFORE}(?:{_PHONE}{_NUMBER}?\\d?)?{_MOBILE}{_PHONE}?{_NUMBER}?{_AFTER}",
        f"{_WHOSE}{_OTHER}{_MOBILE}{_PHONE}?{_NUMBER}?{_AFTER}",
        f"{_BEFORE}{_PHONE}{_NUMBER}?{_AFTER}",
        f"{_OWN}(?:number|numero|nummer|msisdn|e164){_AFTER}",
        f"{_WHOSE}(?:{_OTHER}{_PHONE}{_NUMBER}?|(?:home|work|office){_NUMBER}|{_PHONE}{_NUMBER}?{_OTHER}|landline{_NUMBER}?){_AFTER}",
    )
]


def phone_column(names: Sequence[str]) -> int | None:
    """The index of the column to text: the best kind of phone named, of two of a kind the leftmost."""
    plain = [_plain(name) for name in names]
    for matches in _PREFERRED:
        for index, name in enumerate(plain):
            if matches(name):
                return index
    return None


def _plain(name: str) -> str:
    """`Phone (Mobile)`, `phone_mobile` and `PhoneMobile` are one; so are `Teléfono` and `telefono`."""
    letters = unicodedata.normalize("NFKD", name[:MAX_NAME].casefold())
    return "".join(c for c in letters if c.isalnum())
