"""What people type into a phone cell and the one number it means: libphonenumber decides, we clean and explain."""

import re
import unicodedata
from enum import StrEnum

import phonenumbers
from phonenumbers import NumberParseException, ValidationResult


class PhoneProblem(StrEnum):
    """Why a cell is not a number we can text. The value is the stable code, `words` is for people."""

    NO_NUMBER = "no_number"
    NOT_A_NUMBER = "not_a_number"
    TOO_SHORT = "too_short"
    TOO_LONG = "too_long"
    INVALID_NUMBER = "invalid_number"
    ROUNDED_NUMBER = "rounded_number"
    HAS_EXTENSION = "has_extension"
    SEVERAL_NUMBERS = "several_numbers"

    @property
    def words(self) -> str:
        return _WORDS[self]


_WORDS = {
    PhoneProblem.NO_NUMBER: "The phone cell is empty.",
    PhoneProblem.NOT_A_NUMBER: "This is not a phone number.",
    PhoneProblem.TOO_SHORT: "The phone number has too few digits; the area code may be missing.",
    PhoneProblem.TOO_LONG: "The phone number has too many digits.",
    PhoneProblem.INVALID_NUMBER: "No phone has this number.",
    PhoneProblem.ROUNDED_NUMBER: "A spreadsheet rounded this number; format the column as text and export it again.",
    PhoneProblem.HAS_EXTENSION: "A text cannot reach an extension.",
    PhoneProblem.SEVERAL_NUMBERS: "The cell holds more than one phone number.",
}

_NANP_REGIONS = frozenset(phonenumbers.COUNTRY_CODE_TO_REGION_CODE[1])

# The shapes nearly every North American list uses. Anything else, also what merely looks odd, is the library's to read.
_NANP_TYPED = re.compile(
    r"\s*(?:\+?1[ .-]{0,3})?\(?([2-9]\d\d)\)?[ .-]{0,3}(\d{3})[ .-]{0,3}(\d{4})\s*", re.ASCII
).fullmatch

# Validity depends on the area code and the exchange alone, except here (Barbados and Jamaica also split exchanges).
# A test reads the library's metadata and fails when an upgrade adds another.
SPLIT_AREA_CODES = frozenset({"246", "876"})

# One byte per area code and exchange, so that a list of a million rows costs 1 MB: the library's answer, once asked.
_UNASKED, _VALID, _INVALID = 0, 1, 2
_verdicts = bytearray(1_000_000)


def normalise(raw: str, region: str) -> str | PhoneProblem:
    """`raw` as E.164 (`+12025550123`), read as in `region` (`US`) unless it names its own country code."""
    typed = _NANP_TYPED(raw)
    if typed is not None and region in _NANP_REGIONS:
        return _nanp(*typed.groups())
    return _normalise_unusual(raw, region)


def _nanp(area: str, exchange: str, line: str) -> str | PhoneProblem:
    """The library takes 5 to 25 µs for a verdict, remembering it 0.1."""
    if area in SPLIT_AREA_CODES:
        return f"+1{area}{exchange}{line}" if _valid_nanp(area + exchange + line) else PhoneProblem.INVALID_NUMBER
    index = int(area + exchange)
    verdict = _verdicts[index]
    if verdict == _UNASKED:
        verdict = _verdicts[index] = _VALID if _valid_nanp(area + exchange + line) else _INVALID
    return f"+1{area}{exchange}{line}" if verdict == _VALID else PhoneProblem.INVALID_NUMBER


def _valid_nanp(ten_digits: str) -> bool:
    number = phonenumbers.PhoneNumber(country_code=1, national_number=int(ten_digits))
    # Most are of the United States, and asking for one region spares the library the walk through all 25.
    return bool(phonenumbers.is_valid_number_for_region(number, "US") or phonenumbers.is_valid_number(number))


def _normalise_unusual(raw: str, region: str) -> str | PhoneProblem:
    text = _cleaned(raw)
    if not text:
        return PhoneProblem.NO_NUMBER
    digits = _spreadsheet_digits(text)
    if isinstance(digits, PhoneProblem):
        return digits
    typed = _NANP_TYPED(digits)
    if typed is not None and region in _NANP_REGIONS:
        return _nanp(*typed.groups())
    return _ask_library(digits, region)


def _cleaned(raw: str) -> str:
    """Without what cannot be seen (zero-width, NBSP, direction marks) and without a spreadsheet's `'…` and `="…"`."""
    text = unicodedata.normalize("NFKC", raw)
    text = "".join(c for c in text if unicodedata.category(c) not in ("Cf", "Cc") or c in "\t\r\n")
    return text.strip(" \t\r\n'’`\"=")


_WHOLE_DECIMAL = re.compile(r"(\+?\d+)\.0+").fullmatch
_SCIENTIFIC = re.compile(r"(\+?)(\d+)(?:[.,](\d*))?[eE]\+?(\d{1,2})").fullmatch


def _spreadsheet_digits(text: str) -> str | PhoneProblem:
    """`12025550123.0` and `1.2025550123E+10` kept all their digits; `1.20235E+10` did not, and its zeros are a lie."""
    if whole := _WHOLE_DECIMAL(text):
        return str(whole[1])
    scientific = _SCIENTIFIC(text)
    if scientific is None:
        return text
    plus, lead, fraction, exponent = scientific[1], scientific[2], scientific[3] or "", int(scientific[4])
    if len(fraction) < exponent:
        return PhoneProblem.ROUNDED_NUMBER
    if fraction[exponent:].strip("0"):
        return PhoneProblem.NOT_A_NUMBER
    return f"{plus}{lead}{fraction[:exponent]}"


def _ask_library(text: str, region: str) -> str | PhoneProblem:
    try:
        number = phonenumbers.parse(text, region)
    except NumberParseException as refused:
        return _described(text) or _UNREADABLE.get(refused.error_type, PhoneProblem.NOT_A_NUMBER)
    if number.extension or not phonenumbers.is_valid_number(number) or _VANITY(text) or _SECOND_NUMBER(text):
        return _described(text) or _refused(number)
    if number.country_code == 1 and (number.national_number or 0) < 10**9:
        return PhoneProblem.TOO_SHORT  # Canada's 310-1234 is valid without an area code, and unreachable by text
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))


_UNREADABLE = {
    NumberParseException.INVALID_COUNTRY_CODE: PhoneProblem.INVALID_NUMBER,
    NumberParseException.TOO_SHORT_AFTER_IDD: PhoneProblem.TOO_SHORT,
    NumberParseException.TOO_SHORT_NSN: PhoneProblem.TOO_SHORT,
    NumberParseException.TOO_LONG: PhoneProblem.TOO_LONG,
}
_IMPOSSIBLE = {
    ValidationResult.TOO_SHORT: PhoneProblem.TOO_SHORT,
    ValidationResult.IS_POSSIBLE_LOCAL_ONLY: PhoneProblem.TOO_SHORT,
    ValidationResult.TOO_LONG: PhoneProblem.TOO_LONG,
}


def _refused(number: phonenumbers.PhoneNumber) -> PhoneProblem:
    if number.extension:
        return PhoneProblem.HAS_EXTENSION
    reason = phonenumbers.is_possible_number_with_reason(number)
    return _IMPOSSIBLE.get(reason, PhoneProblem.INVALID_NUMBER)


# The library reads three letters or more as keypad digits (1-800-FLOWERS). In a list that is more often a remark or a
# mistake (`2025550123 do not text`), and a wrong guess texts a stranger. Letters before the number are only a label.
_VANITY = re.compile(r"[^\d+]*[\d+].*?[^\W\d_].*?[^\W\d_].*?[^\W\d_]", re.DOTALL).match
# What the library cuts off without a word.
_SECOND_NUMBER = re.compile(r"[\\/] *x", re.IGNORECASE).search
_BETWEEN_NUMBERS = re.compile(r"[,;/|&\\\r\n]|\b(?:or|and|o|y|ou|et|oder|und)\b", re.IGNORECASE)
_TEN_DIGITS = re.compile(r"(?<!\d)(?:\+?1\W{0,3})?\(?\d{3}\W{0,3}\d{3}\W{0,3}\d{4}(?!\d)", re.ASCII)
_EXTENSION = re.compile(r"\d\D{0,3}(?:e?xt?n?|extension|#)[.:\s]*\d{1,7}$", re.IGNORECASE).search


def _described(text: str) -> PhoneProblem | None:
    """What a person would see in a cell that the library refused."""
    if not any(map(str.isdigit, text)):
        return PhoneProblem.NOT_A_NUMBER
    if sum(1 for part in _BETWEEN_NUMBERS.split(text) if sum(map(str.isdigit, part)) >= 7) > 1:
        return PhoneProblem.SEVERAL_NUMBERS
    if sum(map(str.isdigit, text)) > 15 and len(_TEN_DIGITS.findall(text)) > 1:
        return PhoneProblem.SEVERAL_NUMBERS
    if _EXTENSION(text):
        return PhoneProblem.HAS_EXTENSION
    return PhoneProblem.NOT_A_NUMBER if _VANITY(text) else None
