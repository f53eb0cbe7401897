"""A reply as words that can be compared, and phrases of such words."""

import re
import unicodedata

from dispatcher.words import TABLE

LOOKALIKES = str.maketrans(
    {ord(lookalike): latin for latin, lookalikes in TABLE["lookalikes"].items() for lookalike in lookalikes}
    | {
        first + n: chr(ord("a") + n) for first in (0x1F150, 0x1F170) for n in range(26)
    }  # white on black, in rounds, squares
)
# Letters written as digits and signs, where a letter follows: ST0P, 5top, $top, qu1t, c@ncel.
_AS_LETTER = {"0": "o", "1": "i", "3": "e", "5": "s", "$": "s", "@": "a"}
_LETTER = r"[^\W\d_]"
_DIGIT = re.compile(rf"(?:(?<!\d)[05$]|(?<={_LETTER})[13@])(?={_LETTER})")
SPECIAL = {"...": r"(?:\w+ ){0,3}?", "<": r"(?<=\A )", ">": r"\Z"}
_NO_LETTERS = re.compile(r"[\W\d_]+")
_APOSTROPHES = re.compile(r"['’‘`´ʼ＇]")
_DOUBLED = re.compile(r"(.)\1+")
_NOT_SAID = str.maketrans("", "", "™℠ℹⓂ㊗㊙")  # emoji that would decompose into letters


def canonical(text: str) -> str:
    """The text with its letters as they are compared, words apart by single spaces."""
    plain = unicodedata.normalize("NFKD", text.translate(_NOT_SAID)).casefold()
    kept = "".join(c for c in plain if unicodedata.category(c) not in ("Mn", "Mc", "Me", "Cf"))
    kept = _DIGIT.sub(lambda digit: _AS_LETTER[digit[0]], _APOSTROPHES.sub("", kept.translate(LOOKALIKES)))
    return _DOUBLED.sub(r"\1", _NO_LETTERS.sub(" ", kept)).strip()


def tokens(text: str) -> list[str]:
    """The words of the text, canonical."""
    return canonical(text).split()


def any_of(phrases: str) -> re.Pattern[str]:
    """Matches any of the phrases, one a line, in a text of canonical words with a space before and behind each.

    `a|b` is either word, `a?` may be missing, `a*` is a word that begins so, `...` is up to three words; `<` and `>`
    are the ends of the text.
    """
    lines = [line for line in phrases.splitlines() if line.strip()]
    return re.compile("|".join(f"(?:{_pattern(line)})" for line in lines))


def _pattern(phrase: str) -> str:
    return "(?<= )" + "".join(_part(part) for part in phrase.split())


def _part(part: str) -> str:
    if part in SPECIAL:
        return SPECIAL[part]
    words = "|".join(canonical(word) + (r"\w*" if word.endswith("*") else "") for word in part.rstrip("?").split("|"))
    return f"(?:(?:{words}) ){'?' if part.endswith('?') else ''}"
